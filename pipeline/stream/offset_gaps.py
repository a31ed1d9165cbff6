"""Offsets that were passed over: a message that comes may not be the next one.

Kafka's own markers, and records that retention has deleted, leave holes that mean nothing for the state. Anything else
is a message that was read and never applied; the state would count less than the log holds for ever. So a committer
that meets a gap asks the log what is in it.
"""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.runtime.kafka.clients import build_consumer
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import Settings
from schemas.topics import Topic

_POLL_MS = 500
_log = get_logger("stream.offset_gaps")


class MessagesSkipped(RuntimeError):
    """Messages of the log were passed over. Stop: a new start applies them, from the last marker on."""


async def check_gap(settings: Settings, partition: int, begin: int, end: int) -> None:
    """Look at the offsets [begin, end) of a partition of `events`.

    Returns if they hold no record; what retention has deleted is logged as lost. Raises `MessagesSkipped` if they do,
    aiokafka's errors if the broker does not answer.
    """
    place = TopicPartition(Topic.EVENTS.value, partition)
    consumer = build_consumer(settings)
    await consumer.start()
    try:
        kept_from: Mapping[TopicPartition, int] = await consumer.beginning_offsets([place])
        start = max(begin, kept_from[place])
        skipped = await _first_record(consumer, place, start, end)
    finally:
        await consumer.stop()
    if skipped is not None:
        raise MessagesSkipped(f"events[{partition}]: offset {skipped} is in the log, and {end} came after {begin - 1}")
    if start > begin:
        _log.error("events_deleted_before_processed", partition=partition, begin=begin, end=min(start, end))
    else:
        _log.info("offsets_without_records", partition=partition, begin=begin, end=end)


async def _first_record(consumer: AIOKafkaConsumer, place: TopicPartition, start: int, end: int) -> int | None:
    """The offset of the first record of [start, end)."""
    if start >= end:
        return None
    consumer.assign([place])
    consumer.seek(place, start)
    while await consumer.position(place) < end:
        for record in (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, ()):
            return int(record.offset) if record.offset < end else None
    return None
