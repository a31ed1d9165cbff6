"""A stream worker without Faust: its connections, the partitions it owns, and what watches over them."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from aiokafka import TopicPartition

from pipeline.runtime.clock import monotonic_seconds, now_ms
from pipeline.runtime.kafka.clients import build_producer
from pipeline.runtime.lifecycle import Background
from pipeline.runtime.liveness import Liveness, watch
from pipeline.runtime.settings import WorkerSettings
from pipeline.runtime.traces.tracer import Tracer
from pipeline.stream import metrics
from pipeline.stream.app_directory import AppDirectory
from pipeline.stream.assignment import Assignment
from pipeline.stream.committers import Committers
from pipeline.stream.decode import Place
from pipeline.stream.fatal import exit_process
from pipeline.stream.fence import Fences
from pipeline.stream.guard import StallGuard
from pipeline.stream.health import HealthServer
from pipeline.stream.partition.open_stores import OpenStores
from pipeline.stream.rules_book import RulesBook, Snapshots
from pipeline.stream.source_topic import SourceTopic
from schemas.topics import Topic


class Worker:
    """Owner of partitions (`faust_adapter.PartitionOwner`). It is made on a running event loop."""

    def __init__(
        self,
        settings: WorkerSettings,
        control_plane: Snapshots,
        stores: OpenStores,
        changelog_topic: str,
        tracer: Tracer | None = None,
    ) -> None:
        self._settings = settings
        self._control_plane = control_plane
        self._producer = build_producer(settings, compression="zstd")
        self._fences = Fences(settings, changelog_topic)
        # The group counts from the last heartbeat, which may be older than the guard's last look.
        self._guard = StallGuard(monotonic_seconds, settings.worker_session_timeout_seconds * 0.7)
        self.committers = Committers(settings, self._producer, self._fences, stores, self._guard, tracer)
        directory = AppDirectory(control_plane, RulesBook())
        self._assignment = Assignment(settings, directory, stores, self._fences, self.committers)
        self._liveness = Liveness[int](settings.stall_seconds)
        self._health = HealthServer(
            settings.host, settings.worker_port, self.is_ready, self._measure, self._stalled_seconds
        )
        self._background = Background(exit_process)

    def is_ready(self) -> bool:
        return self._assignment.is_ready

    async def start(self) -> None:
        if self._settings.worker_port:
            await self._health.start()
        await self._producer.start()
        await self._control_plane.start()
        work = (
            self.committers.reporter.run(),
            self._guard.run(),
            self._assignment.commit_people_forever(),
            self._watch_liveness(),
        )
        for part in work:
            self._background.start(part)

    async def take(self, partitions: set[int], source: SourceTopic) -> None:
        await self._assignment.take(partitions, source)

    async def handle(self, place: Place, value: bytes | None, acknowledge: Callable[[], Awaitable[Any]]) -> None:
        await self._assignment.handle(place, value, acknowledge)

    async def release(self) -> None:
        await self._assignment.release()

    async def stop(self) -> None:
        """After `release`: the last rows of `progress` go out, then the connections close."""
        await self._background.stop()
        await self.committers.reporter.flush()
        await self._producer.stop()
        await self._fences.keep_only(())
        await self._control_plane.stop()
        await self._health.stop()

    def fail(self, error: BaseException) -> None:
        exit_process(error)

    def _watch_liveness(self) -> Coroutine[Any, Any, Any]:
        partitions = [TopicPartition(Topic.EVENTS.value, number) for number in range(self._settings.partitions)]

        def look(ends: Mapping[TopicPartition, int]) -> None:
            now = monotonic_seconds()
            done = {number: committer.committed_offset for number, committer in self.committers.by_partition.items()}
            self._liveness.observe_ends({place.partition: end for place, end in ends.items()}, now)
            self._liveness.observe_committed(done, now)

        return watch(self._settings, partitions, look)

    def _stalled_seconds(self) -> dict[int, float]:
        return self._liveness.stalled(monotonic_seconds())

    def _measure(self) -> None:
        now = now_ms()
        for partition, committer in self.committers.by_partition.items():
            label = str(partition)
            metrics.LAG.labels(label).set(committer.lag)
            people_lag = self._assignment.people.end_offset(partition) - committer.committed_people_offset
            metrics.PEOPLE_LAG.labels(label).set(max(0, people_lag))
            watermark_ms = committer.working_set.watermark_ms
            age_seconds = (now - watermark_ms) / 1000 if watermark_ms else float("nan")
            metrics.WATERMARK_AGE.labels(label).set(age_seconds)
