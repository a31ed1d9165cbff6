"""Kafka → ClickHouse. One consumer group over all topics that are loaded, one table for each.

The way of a message, and the order that loses nothing:

    Step 1  read it and gather it with others of its topic into a block
    Step 2  insert the block; wait while ClickHouse is away; isolate rows it refuses
    Step 3  write to `loaded_offsets` how far the tables reach now
    Step 4  commit the same offsets to Kafka

A crash anywhere delivers the messages after the last commit again. The tables replace rows by their ids, so the repeat
changes nothing a reader sees. Each topic has a task of its own for step 2; one more does steps 3 and 4 for all.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from pipeline.runtime.clickhouse import ClickHouse, ClickHouseUnavailable, migrate_or_look
from pipeline.runtime.clock import RisingClock, monotonic_seconds, now_ms
from pipeline.runtime.lifecycle import Stopped, cancel, run_before, run_until, task_group
from pipeline.runtime.liveness import Liveness, watch
from pipeline.runtime.log import get_logger
from pipeline.runtime.retry import retry
from pipeline.runtime.settings import LoaderSettings
from pipeline.runtime.topics import ensure_topics
from pipeline.runtime.traces.tracer import Tracer
from schemas.topics import LOADER_GROUP, Topic
from services.loader.blocks import Buffer, Limits, Pace, PartitionKey, Positions
from services.loader.reader import Reader
from services.loader.store import PAUSES, BlockStore

T = TypeVar("T")

_DRAIN_SECONDS: Final = 20.0
"""Longest wait of a stop for ClickHouse and Kafka; what is not done by then is read again after the next start."""

_REPORT_SECONDS: Final = 1.0
"""Longest pause between two reports of how far the tables reach, however long blocks are gathered."""

_CLICKHOUSE_AWAY: Final = (ClickHouseUnavailable,)
log = get_logger("loader")


class NotCommitted(Exception):
    """Error: Kafka did not take a commit."""


class Loader:
    """The loader: `await Loader(settings, clickhouse).run(stop)`. Another `group` than the usual one reads everything
    anew.

    `instance_id`: for a loader of which there is only ever one (see `build_consumer`).
    """

    def __init__(
        self,
        settings: LoaderSettings,
        clickhouse: ClickHouse,
        group: str = LOADER_GROUP,
        instance_id: str | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        limits = Limits(settings.loader_max_rows, settings.loader_max_bytes, settings.loader_max_age_seconds)
        self._settings = settings
        self._clickhouse = clickhouse
        self._store = BlockStore(clickhouse, tracer)
        self._buffers = {topic.value: Buffer(topic.value, limits) for topic in Topic if topic.is_loaded}
        self._positions = Positions()
        self._loaded_at = RisingClock(now_ms)
        self._unreported = asyncio.Event()
        self._reports = Pace(min(limits.max_age_seconds, _REPORT_SECONDS))
        self._is_draining = False
        self._has_tables = False
        self._has_started = False
        self._liveness = Liveness[PartitionKey](settings.stall_seconds)
        self._reader = Reader(
            settings, group, instance_id, self._buffers, self._positions, self._loaded_offsets, tracer is not None
        )

    async def missing(self) -> list[str]:
        """Name the parts that readiness waits for, in words."""
        found = {
            "stopping": self._is_draining,
            "ClickHouse": self._store.is_away,
            "tables": not self._has_tables,
            "broker": not (self._has_started and self._reader.is_assigned),
        }
        return [name for name, is_missing in found.items() if is_missing]

    def stalled(self) -> dict[str, float]:
        """Partitions with messages that are not loaded though ClickHouse and the broker are there, and for how many
        seconds."""
        if self._store.is_away:
            return {}
        found = self._liveness.stalled(monotonic_seconds())
        return {f"{topic}/{partition}": seconds for (topic, partition), seconds in found.items()}

    @property
    def held_rows(self) -> int:
        """Number of rows read and not yet being inserted."""
        return sum(buffer.held_rows for buffer in self._buffers.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; then insert and commit what is held. Raises errors after which it cannot go on."""
        with suppress(Stopped):
            await run_before(stop, self._start())
            await self._work(stop)

    async def _start(self) -> None:
        clickhouse_away, broker_away = (ClickHouseUnavailable,), (KafkaConnectionError,)
        tables = partial(migrate_or_look, self._clickhouse)
        await retry(tables, clickhouse_away, log, "waiting", waiting_for="ClickHouse")
        self._has_tables = True
        await retry(lambda: ensure_topics(self._settings), broker_away, log, "waiting", waiting_for="broker")
        await retry(self._reader.start, broker_away, log, "waiting", waiting_for="broker")
        self._has_started = True
        log.info("loader_started")

    async def _work(self, stop: asyncio.Event) -> None:
        try:
            async with task_group() as group:
                writing = [group.create_task(self._write(buffer)) for buffer in self._buffers.values()]
                reporting = group.create_task(self._report_forever())
                await run_until(stop, self._reader.run(), self._watch_liveness())
                await self._drain(writing, reporting)
                await cancel(*writing)
        finally:
            await self._reader.stop()

    async def _watch_liveness(self) -> None:
        places = [
            TopicPartition(topic, number) for topic in self._buffers for number in range(self._settings.partitions)
        ]

        def look(ends: Mapping[TopicPartition, int]) -> None:
            now = monotonic_seconds()
            self._liveness.observe_ends({(place.topic, place.partition): end for place, end in ends.items()}, now)
            self._liveness.observe_committed(self._reader.committed, now)

        await watch(self._settings, places, look)

    # Step 2

    async def _write(self, buffer: Buffer) -> None:
        """Insert one block after another, so a partition's rows go in in the order of the log."""
        while await self._wait_until_due(buffer):
            block = buffer.take(monotonic_seconds())
            if block is None:
                continue
            epoch = self._positions.epoch
            self._reader.made_room()
            started = monotonic_seconds()
            await self._store.store(block)
            buffer.pace.took(monotonic_seconds() - started)
            self._positions.stored(block, epoch)
            self._unreported.set()

    async def _wait_until_due(self, buffer: Buffer) -> bool:
        """Wait until a block is due; False: draining, and the buffer is empty."""
        while True:
            due_in = buffer.due_in(monotonic_seconds())
            if self._is_draining or due_in == 0.0:
                return due_in is not None
            await self._reader.arrival(buffer.topic, due_in)

    # Steps 3 and 4

    async def _report_forever(self) -> None:
        while True:
            await self._unreported.wait()
            await asyncio.sleep(self._reports.next_at - monotonic_seconds())
            self._unreported.clear()
            await retry(self._report, (NotCommitted,), log, "commit_repeated", pauses=PAUSES)

    async def _report(self) -> None:
        """Commit positions. Raises `NotCommitted` if Kafka did not take the commit; to be tried again."""
        epoch = self._positions.epoch
        positions = self._reader.owned(self._positions.take())
        if not positions:
            return
        is_committed = False
        started = monotonic_seconds()
        self._reports.begin(started)
        try:
            await self._store.insert("loaded_offsets", _loaded_rows(positions, self._loaded_at()))
            self._reports.took(monotonic_seconds() - started)
            is_committed = epoch != self._positions.epoch or await self._reader.commit(positions)
        finally:
            if not is_committed:
                self._positions.put_back(positions, epoch)
        if not is_committed:
            raise NotCommitted

    async def _loaded_offsets(self) -> dict[PartitionKey, int]:
        sql = "SELECT topic, `partition`, next_offset, loaded_at_ms FROM loaded_offsets FINAL"
        rows = await retry(
            lambda: self._clickhouse.query(sql), (ClickHouseUnavailable,), log, "waiting", waiting_for="ClickHouse"
        )
        self._loaded_at.rise_above(max((loaded_at_ms for *_, loaded_at_ms in rows), default=0))
        return {(topic, partition): offset for topic, partition, offset, _ in rows}

    # Ends

    async def _drain(self, writing: list[asyncio.Task[None]], reporting: asyncio.Task[None]) -> None:
        """Insert and commit what is held. A report cut off puts its positions back, so the last one has them all."""
        self._is_draining = True
        self._reader.wake()
        is_done = False
        with suppress(TimeoutError, NotCommitted):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await asyncio.wait(writing)
                await cancel(reporting)
                await self._report()
                is_done = True
        log.info("loader_stopped", everything_committed=is_done)


def _loaded_rows(positions: dict[PartitionKey, int], loaded_at_ms: int) -> bytes:
    rows = [
        {"topic": topic, "partition": partition, "next_offset": offset, "loaded_at_ms": loaded_at_ms}
        for (topic, partition), offset in positions.items()
    ]
    return msgspec.json.Encoder().encode_lines(rows)
