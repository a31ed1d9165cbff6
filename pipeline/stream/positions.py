"""Positions: where the sources of some partitions begin and end, and the place of a working set in them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition

from pipeline.readmodel.progress import read_last_reports
from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.lost_records import note_lost
from pipeline.runtime.log import get_logger
from pipeline.stream.partition.working_set import WorkingSet
from schemas.topics import DERIVED_TOPICS, PEOPLE_GROUP, STREAM_GROUP, Topic

_BACKOFF_MS: Final = 20
_log = get_logger("stream.worker")

Offsets = dict[tuple[Topic, int], int]


@dataclass(frozen=True)
class Positions:
    """Offsets of the topics at one moment. `people` is there in all its partitions."""

    begins: Offsets
    """First offsets of `events` and `people`."""
    ends: Offsets
    """End offsets of `events`, `people` and the derived topics."""
    reported_ms: dict[int, int]
    """Times of the last rows of `progress`, by partition, whoever wrote them."""

    def derived_offsets(self, partition: int) -> dict[str, int]:
        return {topic.value: self.ends[(topic, partition)] for topic in DERIVED_TOPICS}

    def people_ends(self) -> dict[str, int]:
        found = sorted((partition, end) for (topic, partition), end in self.ends.items() if topic is Topic.PEOPLE)
        return {str(partition): end for partition, end in found}


async def read_positions(settings: KafkaSettings, partitions: Collection[int]) -> Positions:
    """Ask the broker. Raises aiokafka's errors."""
    # It waits this long once for every topic, to learn of it.
    consumer = build_consumer(settings, retry_backoff_ms=_BACKOFF_MS)
    people = [TopicPartition(Topic.PEOPLE.value, p) for p in range(settings.partitions)]
    sources = [TopicPartition(Topic.EVENTS.value, p) for p in partitions]
    derived = [TopicPartition(topic.value, p) for topic in DERIVED_TOPICS for p in partitions]
    async with started(consumer):
        begins = await consumer.beginning_offsets([*sources, *people])
        ends = await consumer.end_offsets([*sources, *people, *derived])
        reports = await read_last_reports(consumer, partitions)
    return Positions(
        {(Topic(tp.topic), tp.partition): offset for tp, offset in begins.items()},
        {(Topic(tp.topic), tp.partition): offset for tp, offset in ends.items()},
        {partition: row.reported_at_ms for partition, row in reports.items()},
    )


def align(settings: KafkaSettings, working_set: WorkingSet, partition: int, positions: Positions) -> None:
    """The positions are the marker's, whatever a group has committed, inside what the topics hold.

    Raises `RecordsLost` if what comes next was deleted; a stream that has read nothing yet begins with what is there.
    """
    begins, ends = positions.begins, positions.ends
    events, people = (Topic.EVENTS, partition), (Topic.PEOPLE, partition)
    offset = working_set.next_offset
    if 0 < offset < begins[events]:
        note_lost(settings, _log, STREAM_GROUP, TopicPartition(*events), range(offset, begins[events]))
    if offset > ends[events]:
        _log.error("events_shorter_than_processed", partition=partition, processed=offset, end=ends[events])
    working_set.events.align(begins[events], ends[events])
    next_people = working_set.people.next_offset
    if 0 < next_people < begins[people]:
        note_lost(settings, _log, PEOPLE_GROUP, TopicPartition(*people), range(next_people, begins[people]))
    if next_people > ends[people]:
        _log.error("people_shorter_than_processed", partition=partition, processed=next_people, end=ends[people])
    working_set.people.align(begins[people], ends[people])
