"""Partitions of a worker between assignment and revocation: a committer per partition, and what they share.

assigned → recovered (Faust, `recovery`) → `take` → messages flow → `release` → revoked
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition

from pipeline.domain.watermark import Watermark
from pipeline.readmodel.progress import read_last_reports
from pipeline.runtime.clock import RisingClock, monotonic_seconds, now_ms
from pipeline.runtime.kafka.clients import build_consumer, build_producer
from pipeline.runtime.liveness import Liveness, watch
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import WorkerSettings
from pipeline.stream import metrics
from pipeline.stream.agents import AppDirectory
from pipeline.stream.fence import FENCE_KEY, Fences
from pipeline.stream.guard import StallGuard
from pipeline.stream.health import HealthServer
from pipeline.stream.identity.messages import DecodedPeople
from pipeline.stream.identity.reader import COMMIT_SECONDS, PeopleReader
from pipeline.stream.kafka_log import KafkaLog
from pipeline.stream.partition.changelog import MARKER_KEY, decode_marker
from pipeline.stream.partition.group_commit import PartitionCommitter, Surroundings
from pipeline.stream.partition.offset_gaps import check_gap
from pipeline.stream.partition.restore import restore
from pipeline.stream.partition.stores import PartitionStore
from pipeline.stream.partition.working_set import WorkingSet
from pipeline.stream.progress import ProgressReporter
from pipeline.stream.recovery import Load, load_all
from pipeline.stream.rules_book import RulesBook, Snapshots
from schemas.topics import DERIVED_TOPICS, Topic

EXIT_FATAL: Final = 70
Offsets = dict[tuple[Topic, int], int]
_BACKOFF_MS: Final = 20
_LOADED_POLL_SECONDS: Final = 0.02
_log = get_logger("stream.worker")


def exit_process(error: BaseException) -> None:
    """Memory may be ahead of the log: nothing of this process may reach the broker any more."""
    _log.error("worker_exits", error=repr(error), note="it will continue from the log when started again")
    sys.stderr.flush()
    os._exit(EXIT_FATAL)


class SourceTopic(Protocol):
    """`events`, as Faust's consumer sees it."""

    async def commit(self, offsets: dict[int, int]) -> None:
        """Set what the group has committed; Faust goes on from there."""
        ...

    def end_offset(self, partition: int) -> int:
        """Return the end of the partition as of the last fetch; 0 before the first."""
        ...


class Worker:
    """`store_of` and `changelog_topic` are the table's."""

    def __init__(
        self,
        settings: WorkerSettings,
        source: Snapshots,
        store_of: Callable[[int], PartitionStore],
        changelog_topic: str,
        source_topic: "SourceTopic",
        session_timeout_seconds: float,
    ) -> None:
        self._settings = settings
        self._source = source
        self._store_of = store_of
        self._changelog_topic = changelog_topic
        self._source_topic = source_topic
        self._rules = RulesBook()
        self.directory = AppDirectory(source, self._rules)
        self.committers: dict[int, PartitionCommitter] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._taking: asyncio.Task[None] | None = None
        self._handing_over = asyncio.Lock()
        """Calls of `take` and `release` change what is owned one after another, in the order they came."""
        self._parked: dict[int, tuple[WorkingSet, int | None]] = {}
        """Stores given up in a rebalance, with the changelog offset of each: most of them come straight back."""
        self._people = PeopleReader(settings, self._deliver_people, self._has_room_for_people)
        self._background: list[asyncio.Task[Any]] = []
        self._is_ready = False
        self._fences = Fences(settings, changelog_topic)
        # The group counts from the last heartbeat, which may be older than the guard's last look.
        self._guard = StallGuard(monotonic_seconds, session_timeout_seconds * 0.7)
        self._liveness = Liveness[int](settings.stall_seconds)
        self._health = HealthServer(
            settings.host,
            settings.worker_port,
            self.is_ready,
            self._measure,
            lambda: self._liveness.stalled(monotonic_seconds()),
        )

    def is_ready(self) -> bool:
        """The partitions assigned (there may be none) are recovered and being worked on."""
        return self._is_ready

    async def start(self) -> None:
        if self._settings.worker_port:
            await self._health.start()
        self._producer: AIOKafkaProducer = build_producer(self._settings, compression="zstd")
        await self._producer.start()
        self._reporter = ProgressReporter(self._producer)
        await self._source.start()
        work = (self._reporter.run(), self._guard.run(), self._commit_people_forever(), self._watch_liveness())
        self._background = [self._watch(each) for each in work]

    async def stop(self) -> None:
        """After `release`: the last rows of `progress` go out, then the connections close."""
        self._is_ready = False
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._reporter.flush()
        await self._producer.stop()
        await self._fences.keep_only(())
        await self._source.stop()
        await self._health.stop()

    # Owning

    async def take(self, partitions: set[int]) -> None:
        """Work on these; their stores are recovered. Returns when that has begun, or when a rebalance ended it.

        One taking at a time: an earlier one, of an assignment that is no more, is cancelled whole first. Faust neither
        ends it nor looks at how it ended, so a failure ends the process here.
        """
        async with self._handing_over:
            await self._release()
            self._taking = taking = self._watch(self._take(partitions))
        await asyncio.wait([taking])

    async def _take(self, partitions: set[int]) -> None:
        while not self._source.is_loaded:  # noqa: ASYNC110 - a thread loads it
            await asyncio.sleep(_LOADED_POLL_SECONDS)
        self._rules.use(self._source.current())
        await self._shut_others_out(partitions)
        kept = {p: working_set for p in partitions if (working_set := self._unpark(p)) is not None}
        # Reading the stores is work, asking the broker is waiting.
        restoring = self._restore_all(sorted(partitions - kept.keys()), len(partitions))
        (begins, ends, reported_ms), restored = await asyncio.gather(self._read_offsets(partitions), restoring)
        for partition, working_set in restored.items():
            working_set.people.waits_for = ends[(Topic.EVENTS, partition)]
        working_sets = dict(sorted((kept | restored).items()))
        for partition, working_set in working_sets.items():
            self._align(working_set, partition, begins, ends)
        await self._receive_decided(working_sets)
        for partition, working_set in working_sets.items():
            working_set.begin()
            self.committers[partition] = self._start_committer(
                partition, working_set, ends, reported_ms.get(partition, 0)
            )
        await self._source_topic.commit({p: c.working_set.next_offset for p, c in self.committers.items()})
        await self._people.follow({p: w.people.next_to_receive for p, w in working_sets.items()})
        if self._people.task is not None:
            self._people.task.add_done_callback(_exit_on_failure)
        metrics.ASSIGNED.set(len(partitions))
        self._is_ready = True

    async def release(self) -> None:
        """Finish what was applied and give all partitions up; a taking under way is cancelled whole."""
        async with self._handing_over:
            await self._release()

    async def _release(self) -> None:
        self._is_ready = False
        await self._end_taking()
        await self._people.leave()
        for committer in self.committers.values():
            committer.stop()
        await asyncio.gather(*self._running.values())
        self._reporter.drop(set(self.committers))
        for partition, committer in self.committers.items():
            if not committer.working_set.is_inside_message:
                self._parked[partition] = (committer.working_set, self._store_of(partition).offset)
        self.committers.clear()
        self._running.clear()
        metrics.ASSIGNED.set(0)

    async def _end_taking(self) -> None:
        taking, self._taking = self._taking, None
        if taking is not None and not taking.done():
            _log.info("taking_cancelled", note="the group rebalances again")
            taking.cancel()
            await asyncio.wait([taking])

    async def _shut_others_out(self, partitions: set[int]) -> None:
        """Fence the changelogs: from now on they grow by our hand alone, and the stores hold all there is of them."""
        kept = {partition for partition in partitions if self._is_as_parked(partition)}
        # What is not taken back now may be another's by the next time.
        self._parked = {partition: self._parked[partition] for partition in kept}
        await self._fences.keep_only(kept)
        raised = await self._fences.raise_for(sorted(partitions - kept))
        behind = []
        for partition, offset in raised.items():
            store = self._store_of(partition)
            if store.offset == offset - 1:
                store.write([(FENCE_KEY, b"")], (), offset)
            else:
                start = 0 if store.offset is None else store.offset + 1
                behind.append(Load(partition, store, start, offset + 1))
        if behind:
            _log.warning("written_until_fenced", partitions=[load.partition for load in behind])
            await load_all(self._settings, self._changelog_topic, behind)

    def _is_as_parked(self, partition: int) -> bool:
        """Nobody has written to the partition since it was parked."""
        return partition in self._parked and self._parked[partition][1] == self._store_of(partition).offset

    def _unpark(self, partition: int) -> WorkingSet | None:
        """Return what was parked, if it is what a scan would bring."""
        return self._parked.pop(partition)[0] if self._is_as_parked(partition) else None

    async def _restore_all(self, partitions: list[int], owned: int) -> dict[int, WorkingSet]:
        return {partition: await self._restore(partition, owned) for partition in partitions}

    async def _restore(self, partition: int, owned: int) -> WorkingSet:
        """Timers and debts of every stored person, and the positions."""
        settings, store = self._settings, self._store_of(partition)
        watermark = Watermark(int(settings.out_of_orderness_seconds * 1000))
        live_persons = max(1, settings.live_persons // owned)
        live_bytes = settings.live_state_bytes // owned
        working_set = WorkingSet(partition, self._rules, store.get_many, watermark, live_persons, live_bytes)
        marker = decode_marker(store.get_many([MARKER_KEY])[0])
        if marker is not None:
            working_set.resume(marker)
        started = monotonic_seconds()
        persons = 0
        for count in restore(working_set, store):
            persons += count
            await asyncio.sleep(0)
        _log.info(
            "partition_taken",
            partition=partition,
            next_offset=working_set.next_offset,
            persons=persons,
            pending=working_set.pending_sessions,
            seconds=round(monotonic_seconds() - started, 3),
        )
        return working_set

    def _align(self, working_set: WorkingSet, partition: int, begins: Offsets, ends: Offsets) -> None:
        """The positions are the marker's, whatever a group has committed, inside what the topics hold."""
        events, people = (Topic.EVENTS, partition), (Topic.PEOPLE, partition)
        offset = working_set.next_offset
        if offset > ends[events]:
            _log.error("events_shorter_than_processed", partition=partition, processed=offset, end=ends[events])
        aligned = min(max(offset, begins[events]), ends[events])
        if aligned != offset:
            working_set.next_offset, working_set.next_index = aligned, 0
        if working_set.people.next_offset > ends[people]:
            _log.error(
                "people_shorter_than_processed",
                partition=partition,
                processed=working_set.people.next_offset,
                end=ends[people],
            )
        working_set.people.align(begins[people], ends[people])

    async def _receive_decided(self, working_sets: dict[int, WorkingSet]) -> None:
        """Receive what the markers say comes first: it must be there before any event is."""
        queues = {partition: working_set.people for partition, working_set in working_sets.items()}
        found = await self._people.read({p: (queue.next_to_receive, queue.until) for p, queue in queues.items()})
        for partition, messages in found.items():
            for message in messages:
                await self.directory.prepare_apps(message.app_ids)
                queues[partition].add(message)

    async def _deliver_people(self, partition: int, message: DecodedPeople) -> None:
        await self.directory.prepare_apps(message.app_ids)
        committer = self.committers.get(partition)
        if committer is not None:
            committer.submit_people(message)

    def _has_room_for_people(self, partition: int) -> bool:
        committer = self.committers.get(partition)
        return committer is not None and committer.working_set.people.has_room

    async def _commit_people_forever(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self._people.commit({p: c.committed_people_offset for p, c in self.committers.items()})

    def _start_committer(
        self, partition: int, working_set: WorkingSet, ends: Offsets, reported_ms: int
    ) -> PartitionCommitter:
        """`reported_ms`: of the last row of `progress` about the partition, whoever wrote it."""
        surroundings = Surroundings(
            log=KafkaLog(self._producer, self._fences.producer(partition), self._changelog_topic, now_ms),
            clock=monotonic_seconds,
            reported_at_ms=RisingClock(now_ms, reported_ms),
            end_offset=self._source_topic.end_offset,
            check_gap=partial(check_gap, self._settings),
            check_ownership=self._guard.check,
            report=lambda row, at_once: self._reporter.report(row, at_once=at_once),
            on_fatal=exit_process,
            publish_interval_seconds=self._settings.publish_interval_seconds,
            idle_seconds=self._settings.idle_seconds,
            partitions=self._settings.partitions,
        )
        derived_offsets = {topic.value: ends[(topic, partition)] for topic in DERIVED_TOPICS}
        people_sent = {str(p): ends[(Topic.PEOPLE, p)] for p in range(self._settings.partitions)}
        store = self._store_of(partition)
        committer = PartitionCommitter(partition, working_set, store, surroundings, derived_offsets, people_sent)
        self._running[partition] = asyncio.create_task(committer.run(), name=f"committer-{partition}")
        return committer

    async def _read_offsets(self, partitions: set[int]) -> tuple[Offsets, Offsets, dict[int, int]]:
        """Read where the sources begin, and where they and the derived topics end; `people` in all its partitions. And
        when progress was last reported, by partition.
        """
        # It waits this long once for every topic, to learn of it.
        consumer = build_consumer(self._settings, retry_backoff_ms=_BACKOFF_MS)
        await consumer.start()
        try:
            people = [TopicPartition(Topic.PEOPLE.value, p) for p in range(self._settings.partitions)]
            sources = [TopicPartition(Topic.EVENTS.value, p) for p in partitions]
            derived = [TopicPartition(topic.value, p) for topic in DERIVED_TOPICS for p in partitions]
            begins = await consumer.beginning_offsets([*sources, *people])
            ends = await consumer.end_offsets([*sources, *people, *derived])
            reports = await read_last_reports(consumer, partitions)
        finally:
            await consumer.stop()
        return (
            {(Topic(tp.topic), tp.partition): offset for tp, offset in begins.items()},
            {(Topic(tp.topic), tp.partition): offset for tp, offset in ends.items()},
            {partition: row.reported_at_ms for partition, row in reports.items()},
        )

    # Watching

    def _watch(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task whose failure is the process's."""
        task = asyncio.create_task(work)
        task.add_done_callback(_exit_on_failure)
        return task

    def _watch_liveness(self) -> Coroutine[Any, Any, Any]:
        partitions = [TopicPartition(Topic.EVENTS.value, number) for number in range(self._settings.partitions)]

        def look(ends: Mapping[TopicPartition, int]) -> None:
            now = monotonic_seconds()
            done = {partition: committer.committed_offset for partition, committer in self.committers.items()}
            self._liveness.observe_ends({place.partition: end for place, end in ends.items()}, now)
            self._liveness.observe_committed(done, now)

        return watch(self._settings, partitions, look)

    def _measure(self) -> None:
        now = now_ms()
        for partition, committer in self.committers.items():
            lag = self._source_topic.end_offset(partition) - committer.committed_offset
            metrics.LAG.labels(str(partition)).set(max(0, lag))
            people_lag = self._people.end_offset(partition) - committer.committed_people_offset
            metrics.PEOPLE_LAG.labels(str(partition)).set(max(0, people_lag))
            watermark_ms = committer.working_set.watermark_ms
            age_seconds = (now - watermark_ms) / 1000 if watermark_ms else float("nan")
            metrics.WATERMARK_AGE.labels(str(partition)).set(age_seconds)


def _exit_on_failure(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        exit_process(error)
