"""Offsets that were passed over: a message that comes may not be the next one.

Kafka's own markers leave holes that mean nothing for the state. Records that retention has deleted are lost. Anything
else is a message that was read and never applied; the state would count less than the log holds for ever. So a
committer that meets a gap asks the log what is in it.
"""

from collections.abc import Mapping

from aiokafka import TopicPartition

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.lost_records import note_lost
from pipeline.runtime.kafka.read_range import first_record
from pipeline.runtime.log import get_logger
from schemas.topics import STREAM_GROUP, Topic

_log = get_logger("stream.offset_gaps")


class MessagesSkipped(RuntimeError):
    """Messages of the log were passed over. Stop: a new start applies them, from the last marker on."""


async def check_gap(settings: KafkaSettings, partition: int, begin: int, end: int) -> None:
    """Look at the offsets [begin, end) of a partition of `events`.

    Returns if they hold no record. Raises `MessagesSkipped` if they do, `RecordsLost` if retention has deleted them,
    aiokafka's errors if the broker does not answer.
    """
    place = TopicPartition(Topic.EVENTS.value, partition)
    async with started(build_consumer(settings)) as consumer:
        kept_from: Mapping[TopicPartition, int] = await consumer.beginning_offsets([place])
        start = max(begin, kept_from[place])
        found = await first_record(consumer, place, start, end)
    if found is not None:
        at = f"offset {found.offset} is in the log, and {end} came after {begin - 1}"
        raise MessagesSkipped(f"events[{partition}]: {at}")
    if start > begin:
        note_lost(settings, _log, STREAM_GROUP, place, range(begin, min(start, end)))
    else:
        _log.info("offsets_without_records", partition=partition, begin=begin, end=end)
