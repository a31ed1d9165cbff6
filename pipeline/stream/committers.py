"""Committers of the partitions owned: one task per partition, from the taking to the release."""

import asyncio
from functools import partial

from aiokafka import AIOKafkaProducer

from pipeline.runtime.clock import RisingClock, monotonic_seconds, now_ms
from pipeline.runtime.settings import WorkerSettings
from pipeline.runtime.traces.tracer import Tracer
from pipeline.stream.fatal import exit_process
from pipeline.stream.fence import Fences
from pipeline.stream.guard import StallGuard
from pipeline.stream.kafka_log import KafkaLog
from pipeline.stream.partition.group_commit import PartitionCommitter, Surroundings
from pipeline.stream.partition.offset_gaps import check_gap
from pipeline.stream.partition.open_stores import OpenStores
from pipeline.stream.partition.working_set import WorkingSet
from pipeline.stream.positions import Positions
from pipeline.stream.progress import ProgressReporter
from pipeline.stream.source_topic import SourceTopic


class Committers:
    """`by_partition` has those that run."""

    def __init__(
        self,
        settings: WorkerSettings,
        producer: AIOKafkaProducer,
        fences: Fences,
        stores: OpenStores,
        guard: StallGuard,
        tracer: Tracer | None = None,
    ) -> None:
        self.by_partition: dict[int, PartitionCommitter] = {}
        self.reporter = ProgressReporter(producer)
        self._settings = settings
        self._producer = producer
        self._fences = fences
        self._stores = stores
        self._guard = guard
        self._tracer = tracer
        self._running: dict[int, asyncio.Task[None]] = {}

    def start(self, partition: int, working_set: WorkingSet, positions: Positions, source: SourceTopic) -> None:
        """The partition is fenced; the first group of its working set has begun."""
        committer = PartitionCommitter(
            partition,
            working_set,
            self._stores.of(partition),
            self._surroundings(partition, positions, source),
            positions.derived_offsets(partition),
            positions.people_ends(),
        )
        self.by_partition[partition] = committer
        self._running[partition] = asyncio.create_task(committer.run(), name=f"committer-{partition}")

    async def stop(self) -> dict[int, WorkingSet]:
        """Finish what was applied, and end all; returns their working sets."""
        for committer in self.by_partition.values():
            committer.stop()
        await asyncio.gather(*self._running.values())
        self.reporter.drop(set(self.by_partition))
        ended = {partition: committer.working_set for partition, committer in self.by_partition.items()}
        self.by_partition.clear()
        self._running.clear()
        return ended

    def _surroundings(self, partition: int, positions: Positions, source: SourceTopic) -> Surroundings:
        settings = self._settings
        return Surroundings(
            log=KafkaLog(self._producer, self._fences.producer(partition), self._fences.topic, now_ms),
            clock=monotonic_seconds,
            reported_at_ms=RisingClock(now_ms, positions.reported_ms.get(partition, 0)),
            end_offset=source.end_offset,
            check_gap=partial(check_gap, settings),
            check_ownership=self._guard.check,
            report=self.reporter.report,
            on_fatal=exit_process,
            publish_interval_seconds=settings.publish_interval_seconds,
            idle_seconds=settings.idle_seconds,
            partitions=settings.partitions,
            tracer=self._tracer,
        )
