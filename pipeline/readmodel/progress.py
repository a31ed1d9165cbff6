"""Progress of the pipeline, computed from the offsets and rows in Kafka alone, without a call to any process.

The facts are offsets: where each topic ends, what the stream last said about each partition of `events` (topic
`progress`), what the loader has committed (it commits after its insert, so committed means readable). From them
`evaluate` tells the lag of every topic and partition and whether everything accepted so far is in ClickHouse.

The end offsets are read first. So `is_settled` means: all that was accepted before the reading began is done, however
much arrives meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_consumer, open_admin, started
from pipeline.runtime.kafka.read_range import read_range, whole_range
from schemas.facts import ProgressRow
from schemas.topics import DERIVED_TOPICS, LOADER_GROUP, STREAM_GROUP, Topic

_LOADED: Final = (Topic.EVENTS, *DERIVED_TOPICS, Topic.REJECTED, Topic.COSTS)
_WATCHED: Final = (*_LOADED, Topic.PEOPLE)
_LAST_RECORDS: Final = 16
"""Number of a partition's last offsets that are read to find its last row: some may be transaction markers."""
_READ_SECONDS: Final = 10.0

_decode_rows = msgspec.json.Decoder(ProgressRow).decode_lines

Offsets = Mapping[tuple[Topic, int], int]


@dataclass(frozen=True)
class Facts:
    """Offsets by (topic, partition). A missing one is 0: nothing written, nothing committed."""

    partitions: int
    end_offsets: Offsets
    reported: Mapping[int, ProgressRow]
    """The last row of each partition of `progress`."""
    loader_committed: Offsets
    stream_committed: Offsets


@dataclass(frozen=True)
class PartitionProgress:
    """One partition of one topic. The stream reads `events` and `people`, so elsewhere its lag is None."""

    topic: Topic
    partition: int
    end_offset: int
    stream_lag: int | None
    pending_sessions: int
    loader_lag: int
    is_settled: bool


@dataclass(frozen=True)
class Progress:
    partitions: tuple[PartitionProgress, ...]

    @property
    def is_settled(self) -> bool:
        """Everything accepted before the facts were read is processed, and its results can be read in ClickHouse."""
        return all(partition.is_settled for partition in self.partitions)

    @property
    def stream_lag(self) -> int:
        """Messages of `events` and `people` the stream has still to process."""
        return sum(partition.stream_lag or 0 for partition in self.partitions)

    @property
    def loader_lag(self) -> int:
        """Messages of all topics the loader has still to insert."""
        return sum(partition.loader_lag for partition in self.partitions)


def evaluate(facts: Facts) -> Progress:
    """The lag of every topic and partition. Pure."""
    return Progress(
        tuple(_evaluate_one(facts, topic, partition) for topic in _WATCHED for partition in range(facts.partitions))
    )


def _evaluate_one(facts: Facts, topic: Topic, partition: int) -> PartitionProgress:
    if topic is Topic.PEOPLE:
        return _evaluate_people(facts, partition)
    end = facts.end_offsets.get((topic, partition), 0)
    committed = facts.loader_committed.get((topic, partition), 0)
    row = facts.reported.get(partition)
    pending = row.pending_sessions if row else 0
    stream_lag = max(0, end - (row.next_offset if row else 0)) if topic is Topic.EVENTS else None
    return PartitionProgress(
        topic=topic,
        partition=partition,
        end_offset=end,
        stream_lag=stream_lag,
        pending_sessions=pending if topic is Topic.SESSIONS else 0,
        loader_lag=max(0, end - committed),
        is_settled=committed >= _needed_offset(facts, topic, partition)
        and not stream_lag
        and not (topic is Topic.SESSIONS and pending),
    )


def _evaluate_people(facts: Facts, partition: int) -> PartitionProgress:
    """A journey on its way from one person to another counts from the report of the sender on: what one partition has
    written must be read by the other, even where it was written after the end offsets were read."""
    sent = [row.people_sent.get(str(partition), 0) for row in facts.reported.values()]
    end = max([facts.end_offsets.get((Topic.PEOPLE, partition), 0), *sent])
    row = facts.reported.get(partition)
    lag = max(0, end - (row.people_next_offset if row else 0))
    return PartitionProgress(
        topic=Topic.PEOPLE,
        partition=partition,
        end_offset=end,
        stream_lag=lag,
        pending_sessions=0,
        loader_lag=0,
        is_settled=not lag,
    )


def _needed_offset(facts: Facts, topic: Topic, partition: int) -> int:
    """Return how far the loader must have come. In a derived topic that is the end of what the stream vouches for:
    later records (a session that closed since) restate what is already there.
    """
    if topic not in DERIVED_TOPICS:
        return facts.end_offsets.get((topic, partition), 0)
    row = facts.reported.get(partition)
    return row.derived_offsets.get(topic, 0) if row else 0


async def read_last_reports(consumer: AIOKafkaConsumer, partitions: Iterable[int]) -> dict[int, ProgressRow]:
    """The last row of these partitions of `progress`, where there is one. The consumer is assigned to them."""
    places = [TopicPartition(Topic.PROGRESS.value, p) for p in partitions]
    whole = await whole_range(consumer, places)
    ranges = {place: (max(begin, end - _LAST_RECORDS), end) for place, (begin, end) in whole.items()}
    reports: dict[int, ProgressRow] = {}
    async with asyncio.timeout(_READ_SECONDS):
        async for _, records in read_range(consumer, ranges):
            for record in records:
                reports |= {row.partition: row for row in _decode_rows(record.value)}
    return reports


class TopicsMissing(RuntimeError):
    """There is nothing to read: the topics were never made. Make them (`attrikit topics create`), or look elsewhere."""


class ProgressReader:
    """Reads `Facts` from Kafka over connections it keeps. It joins no group and commits nothing."""

    def __init__(self, settings: KafkaSettings, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        self._settings = settings
        self._consumer = consumer
        self._admin = admin

    async def read(self) -> Facts:
        """Read the facts. Raises aiokafka's errors while the broker is away, `TimeoutError` when it stays silent."""
        ends = await self._end_offsets()
        reported = await read_last_reports(self._consumer, range(self._settings.partitions))
        return Facts(
            partitions=self._settings.partitions,
            end_offsets=ends,
            reported=reported,
            loader_committed=await self._committed(LOADER_GROUP),
            stream_committed=await self._committed(STREAM_GROUP),
        )

    async def _end_offsets(self) -> Offsets:
        wanted = [TopicPartition(t.value, p) for t in _WATCHED for p in range(self._settings.partitions)]
        found = await self._consumer.end_offsets(wanted)
        return {(Topic(tp.topic), tp.partition): offset for tp, offset in found.items()}

    async def _committed(self, group: str) -> Offsets:
        found = await self._admin.list_consumer_group_offsets(group)
        known = {topic.value for topic in Topic}
        return {(Topic(tp.topic), tp.partition): at.offset for tp, at in found.items() if tp.topic in known}


@asynccontextmanager
async def open_reader(settings: KafkaSettings) -> AsyncIterator[ProgressReader]:
    """Open a reader. Raises `TopicsMissing`, and aiokafka's errors if no broker answers."""
    async with open_admin(settings) as admin:
        # To ask about a topic that is not there would make it, with whatever number of partitions the broker likes.
        missing = {topic.value for topic in Topic} - set(await admin.list_topics())
        if missing:
            raise TopicsMissing(f"topics missing on the broker: {', '.join(sorted(missing))}")
        async with started(build_consumer(settings)) as consumer:
            yield ProgressReader(settings, consumer, admin)


async def wait_until_settled(reader: ProgressReader, timeout_seconds: float, poll_seconds: float = 0.2) -> Progress:
    """Wait until all is processed. Raises `TimeoutError`, which says what is not, if it takes longer than
    `timeout_seconds`.
    """
    progress: Progress | None = None
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                progress = evaluate(await reader.read())
                if progress.is_settled:
                    return progress
                await asyncio.sleep(poll_seconds)
    except TimeoutError:
        waiting = [str(part) for part in progress.partitions if not part.is_settled] if progress else ["no answer yet"]
        raise TimeoutError("\n".join([f"not settled within {timeout_seconds:.0f} s:", *waiting])) from None
