"""What a worker owns between assignment and revocation: a committer per partition, and what they share.

assigned → recovered (Faust, `recovery`) → `take` → messages flow → `release` → revoked
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from pipeline.domain.watermark import Watermark
from pipeline.runtime.clock import monotonic_seconds, now_ms
from pipeline.runtime.kafka import build_producer
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import Settings
from pipeline.stream import metrics
from pipeline.stream.agents import AppDirectory
from pipeline.stream.changelog import MARKER_KEY, decode_marker
from pipeline.stream.group_commit import PartitionCommitter, Surroundings
from pipeline.stream.guard import StallGuard
from pipeline.stream.health import HealthServer
from pipeline.stream.kafka_log import KafkaLog
from pipeline.stream.outputs import DERIVED_TOPICS
from pipeline.stream.progress import ProgressReporter
from pipeline.stream.rules_book import RulesBook, Snapshots
from pipeline.stream.stores import PartitionStore
from pipeline.stream.working_set import WorkingSet
from schemas.topics import Topic

EXIT_FATAL: Final = 70
_SCAN_STEP: Final = 2_000
_LOADED_POLL_SECONDS: Final = 0.1
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
        """As of the last fetch; 0 before the first."""
        ...


class Worker:
    """`store_of` and `changelog_topic` are the table's."""

    def __init__(
        self,
        settings: Settings,
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
        self._parked: dict[int, tuple[WorkingSet, int | None]] = {}
        """What was given up in a rebalance, with the changelog offset of its store: most of it comes straight back."""
        self._background: list[asyncio.Task[Any]] = []
        self._is_ready = False
        self._guard = StallGuard(monotonic_seconds, session_timeout_seconds)
        self._health = HealthServer(settings.host, settings.worker_port, self.is_ready, self._measure)

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
        self._background = [self._watch(self._reporter.run()), self._watch(self._guard.run())]

    async def stop(self) -> None:
        """After `release`: the last rows of `progress` go out, then the connections close."""
        self._is_ready = False
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._reporter.flush()
        await self._producer.stop()
        await self._source.stop()
        await self._health.stop()

    # Owning

    async def take(self, partitions: set[int]) -> None:
        """Work on these; their stores are recovered. Nothing must be running on them."""
        while not self._source.is_loaded:  # noqa: ASYNC110 - a thread loads it
            await asyncio.sleep(_LOADED_POLL_SECONDS)
        self._rules.use(self._source.current())
        begins, ends = await self._read_offsets(partitions)
        derived = {p: {t.value: ends[(t, p)] for t in DERIVED_TOPICS} for p in partitions}
        for partition in sorted(partitions):
            working_set = self._unpark(partition) or await self._restore(partition, len(partitions))
            self._align(working_set, partition, begins[partition], ends[(Topic.EVENTS, partition)])
            self.committers[partition] = self._start_committer(partition, working_set, derived[partition])
        await self._source_topic.commit({p: c.working_set.next_offset for p, c in self.committers.items()})
        self._parked.clear()
        metrics.ASSIGNED.set(len(partitions))
        self._is_ready = True

    async def release(self) -> None:
        """Finish what was applied and give all partitions up."""
        self._is_ready = False
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

    def _unpark(self, partition: int) -> WorkingSet | None:
        """What was parked, if nobody has written to the partition since: then it is what a scan would bring."""
        working_set, offset = self._parked.pop(partition, (None, None))
        return working_set if self._store_of(partition).offset == offset else None

    async def _restore(self, partition: int, owned: int) -> WorkingSet:
        """Timers and debts of every stored person, and the position."""
        settings, store = self._settings, self._store_of(partition)
        watermark = Watermark(int(settings.out_of_orderness_seconds * 1000))
        live_persons = max(1, settings.live_persons // owned)
        working_set = WorkingSet(partition, self._rules, store.get_many, watermark, live_persons)
        marker = decode_marker(store.get_many([MARKER_KEY])[0])
        if marker is not None:
            working_set.resume(marker)
        started = monotonic_seconds()
        persons = 0
        for key, data in store.scan():
            working_set.restore(key, data)
            persons += 1
            if persons % _SCAN_STEP == 0:
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

    def _align(self, working_set: WorkingSet, partition: int, begin_offset: int, end_offset: int) -> None:
        """The position is the marker's, whatever the group has committed, inside what the topic holds."""
        offset = working_set.next_offset
        if offset > end_offset:
            _log.error("events_shorter_than_processed", partition=partition, processed=offset, end=end_offset)
        aligned = min(max(offset, begin_offset), end_offset)
        if aligned != offset:
            working_set.next_offset, working_set.next_index = aligned, 0

    def _start_committer(
        self, partition: int, working_set: WorkingSet, derived_offsets: dict[str, int]
    ) -> PartitionCommitter:
        surroundings = Surroundings(
            log=KafkaLog(self._producer, self._changelog_topic, now_ms),
            clock=monotonic_seconds,
            now_ms=now_ms,
            end_offset=self._source_topic.end_offset,
            check_ownership=self._guard.check,
            report=lambda row, at_once: self._reporter.report(row, at_once=at_once),
            on_fatal=exit_process,
            publish_interval_seconds=self._settings.publish_interval_seconds,
            idle_seconds=self._settings.idle_seconds,
        )
        store = self._store_of(partition)
        committer = PartitionCommitter(partition, working_set, store, surroundings, derived_offsets)
        self._running[partition] = asyncio.create_task(committer.run(), name=f"committer-{partition}")
        return committer

    async def _read_offsets(self, partitions: set[int]) -> tuple[dict[int, int], dict[tuple[Topic, int], int]]:
        """Where `events` begins, and where it and the derived topics end."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._settings.kafka_bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            sources = [TopicPartition(Topic.EVENTS.value, p) for p in partitions]
            wanted = [TopicPartition(t.value, p) for t in (Topic.EVENTS, *DERIVED_TOPICS) for p in partitions]
            begins = await consumer.beginning_offsets(sources)
            ends = await consumer.end_offsets(wanted)
        finally:
            await consumer.stop()
        return (
            {tp.partition: offset for tp, offset in begins.items()},
            {(Topic(tp.topic), tp.partition): offset for tp, offset in ends.items()},
        )

    # Watching

    def _watch(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task whose failure is the process's."""
        task = asyncio.create_task(work)
        task.add_done_callback(_exit_on_failure)
        return task

    def _measure(self) -> None:
        now = now_ms()
        for partition, committer in self.committers.items():
            lag = self._source_topic.end_offset(partition) - committer.committed_offset
            metrics.LAG.labels(str(partition)).set(max(0, lag))
            watermark_ms = committer.working_set.watermark_ms
            age_seconds = (now - watermark_ms) / 1000 if watermark_ms else float("nan")
            metrics.WATERMARK_AGE.labels(str(partition)).set(age_seconds)


def _exit_on_failure(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        exit_process(error)
