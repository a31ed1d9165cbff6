"""Read topics as a member of a consumer group, one generation of its assignment after the other.

A *generation* lasts from one change of the assignment to the next. Before its first read the committed offsets are
asked for, with their metadata, and every partition is sought to where it begins; what an earlier generation read, or
still has to finish, is never committed in a later one: whoever owns the partition now reads it again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata
from prometheus_client import Gauge

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_consumer, open_admin
from pipeline.runtime.kafka.lost_records import note_lost
from pipeline.runtime.retry import reason_of

_PAUSE_SECONDS: Final = 0.5
Batches = Mapping[TopicPartition, list[Any]]
"""Partition → `ConsumerRecord`s."""


class Assigned(NamedTuple):
    """A partition at the beginning of a generation. `committed`: None if nothing was."""

    committed: int | None
    metadata: str
    begin: int
    end: int


Assignment = Mapping[TopicPartition, Assigned]
Positions = Mapping[TopicPartition, int]


async def committed_positions(assignment: Assignment) -> Positions:
    """Begin at the committed offset; at the end where that is beyond it (a broker that lost its last moments): to begin
    at the start would send everything again.
    """
    return {tp: at.begin if at.committed is None else min(at.committed, at.end) for tp, at in assignment.items()}


class GroupReader(ConsumerRebalanceListener):  # type: ignore[misc]
    """Consumer of topics in a group.

    `on_end`: a generation ends; the consumer may be in the middle of a read. `on_begin`: one begins, with the metadata
    of the commits. `positions`: where to begin to read. `lag`: gauge with the labels topic and partition.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Iterable[str],
        group: str,
        log: Any,
        *,
        instance_id: str | None = None,
        on_end: Callable[[], None] = lambda: None,
        on_begin: Callable[[Assignment], None] = lambda _: None,
        positions: Callable[[Assignment], Awaitable[Positions]] = committed_positions,
        lag: Gauge | None = None,
    ) -> None:
        self._settings = settings
        self._topics = [str(topic) for topic in topics]
        self._group = group
        self._log = log
        self._instance_id = instance_id
        self._on_end = on_end
        self._on_begin = on_begin
        self._positions = positions
        self._lag = lag
        self._generation = 0
        self._ready_generation = -1
        self._consumer: AIOKafkaConsumer | None = None
        self._last_commits: dict[TopicPartition, tuple[int, str]] = {}
        self.reads = 0
        """Number of times it was asked for what has come."""
        self.committed: dict[TopicPartition, int] = {}
        """First uncommitted offset of each partition of this generation."""

    @property
    def is_assigned(self) -> bool:
        return self._ready_generation == self._generation and self._generation > 0

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        """Partitions this process has now; empty before it has started."""
        return frozenset() if self._consumer is None else self._consumer.assignment()

    async def start(self) -> None:
        """Start the consumer. Raises aiokafka's errors while no broker answers; it can be called again then."""
        # Every partition is sought to its position; one that is not there any more must not become the earliest one.
        consumer = build_consumer(self._settings, (), self._group, self._instance_id, auto_offset_reset="none")
        self._consumer = consumer
        consumer.subscribe(self._topics, listener=self)
        try:
            await consumer.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def read(self, *partitions: TopicPartition, timeout_ms: int, max_records: int | None = None) -> Batches:
        """Return the records that came in the present generation; may be empty. `partitions`: only these (none: all).

        Raises `RecordsLost` if records were deleted before they were read.
        """
        self.reads += 1
        if self._ready_generation != self._generation:
            await self._begin(self._generation)
            return {}
        generation = self._generation
        try:
            batches: Batches = await self._started.getmany(*partitions, timeout_ms=timeout_ms, max_records=max_records)
        except NoOffsetForPartitionError:
            return {}  # it was looked for before it was sought
        except OffsetOutOfRangeError:
            self._end()  # the next generation finds out what is there
            return {}
        if generation != self._generation:
            return {}  # every partition is sought anew
        self._measure_lag()
        return batches

    async def commit(self, positions: Mapping[TopicPartition, tuple[int, str]]) -> bool:
        """Commit next offset and metadata by partition. False: to be tried again. Where the group has moved on there is
        nothing to try.
        """
        assigned = self.assignment
        wanted = {tp: at for tp, at in positions.items() if tp in assigned and self._last_commits.get(tp) != at}
        if not wanted or not self.is_assigned:
            return True
        try:
            await self._started.commit(wanted)
        except (CommitFailedError, IllegalStateError) as error:
            self._log.info("commit_refused", group=self._group, reason=type(error).__name__)
        except KafkaError as error:
            self._log.warning("commit_failed", group=self._group, reason=reason_of(error))
            return False
        else:
            self._last_commits |= wanted
            self.committed |= {tp: offset for tp, (offset, _) in wanted.items()}
        return True

    def pause(self, partition: TopicPartition) -> None:
        """Fetch no more of it until `resume`."""
        self._started.pause(partition)

    def resume(self, partition: TopicPartition) -> None:
        self._started.resume(partition)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """There is no last commit: it is only moments behind, and some brokers throw out a member who commits now."""
        self._end()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """The fetcher may have handed out records of the earlier assignment since the revocation: end it again."""
        self._end()
        self._log.info("partitions_assigned", group=self._group, count=len(list(assigned)))

    @property
    def _started(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "not started"
        return self._consumer

    def _end(self) -> None:
        self._generation += 1
        self.committed = {}
        self._last_commits = {}
        self._on_end()

    async def _begin(self, generation: int) -> None:
        try:
            assignment = await self._look_up()
            positions = await self._positions(assignment)
            for tp, offset in positions.items():
                if offset < assignment[tp].begin:
                    note_lost(self._settings, self._log, self._group, tp, range(offset, assignment[tp].begin))
                self._started.seek(tp, max(offset, assignment[tp].begin))
        except IllegalStateError:
            await asyncio.sleep(0)  # revoked meanwhile: the next generation starts over
            return
        except (KafkaError, OSError) as error:
            # Not `retry`: the next read begins whatever generation there is by then.
            self._log.warning("committed_offsets_unknown", group=self._group, reason=reason_of(error))
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        if generation == self._generation:
            self._ready_generation = generation
            self.committed = {tp: max(at.committed or 0, at.begin) for tp, at in assignment.items()}
            self._on_begin(assignment)

    async def _look_up(self) -> Assignment:
        partitions = list(self.assignment)
        if not partitions:
            return {}
        committed = await self._read_committed()
        begins = await self._started.beginning_offsets(partitions)
        ends = await self._started.end_offsets(partitions)
        return {tp: _assigned(committed.get(tp), begins[tp], ends[tp]) for tp in partitions}

    async def _read_committed(self) -> Mapping[TopicPartition, OffsetAndMetadata]:
        async with open_admin(self._settings) as admin:  # a consumer does not give the metadata
            found: Mapping[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(self._group)
            return found

    def _measure_lag(self) -> None:
        if self._lag is None:
            return
        for tp, committed in self.committed.items():
            end = self._started.highwater(tp)
            if end is not None:
                self._lag.labels(tp.topic, str(tp.partition)).set(max(0, end - committed))


def _assigned(found: OffsetAndMetadata | None, begin: int, end: int) -> Assigned:
    if found is None or found.offset < 0:
        return Assigned(None, "", begin, end)
    return Assigned(found.offset, found.metadata or "", begin, end)
