"""Records that Kafka deleted before they were read: the reader stops, unless it was told to go on after them."""

from typing import Any

from aiokafka import TopicPartition

from pipeline.runtime.connection_settings import KafkaSettings


class RecordsLost(Exception):
    """Error: a group was to read on at offsets that are no longer there. A person must know of it."""


def note_lost(settings: KafkaSettings, log: Any, group: str, place: TopicPartition, offsets: range) -> None:
    """Raise `RecordsLost` for the offsets, or only log them where `skip_lost_records` is set."""
    lost = f"{place.topic}[{place.partition}]: offsets {offsets.start} to {offsets.stop - 1}"
    if not settings.skip_lost_records:
        raise RecordsLost(f"{lost} were deleted before {group} read them; `attrikit doctor` says how to go on")
    log.error("records_lost", group=group, topic=place.topic, partition=place.partition, offsets=str(offsets))
