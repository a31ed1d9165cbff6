"""Recovery in bulk: the changelog is read thousands of records at a time, straight into the stores.

Faust reads it record by record through its stream machinery; with a million persons that takes many minutes. Here
Faust still decides when to recover and resumes the streams afterwards; only the reading in between is ours.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.read_range import read_range
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import KafkaSettings
from pipeline.stream.partition.stores import PartitionStore
from pipeline.stream.table import PersonTable

_RECORDS_PER_STEP: Final = 10_000
_POLL_MS: Final = 500
_STALL_SECONDS: Final = 60.0
_log = get_logger("stream.recovery")


class RecoveryStalled(RuntimeError):
    """The broker says the changelog is longer but gives no more of it. Stop and start again."""


@dataclass
class Load:
    """Part of the changelog that one store lacks: up to `end_offset`, exclusive."""

    partition: int
    store: PartitionStore
    start_offset: int
    end_offset: int
    records: int = 0


def plan_load(partition: int, store: PartitionStore, begin_offset: int, end_offset: int) -> Load | None:
    """None if the store has it all. `begin_offset` and `end_offset` are the changelog's, the end exclusive.

    A store that is ahead of the changelog stands for records the broker has lost: it is wiped, since a state and its
    position must both be those of the changelog.
    """
    if store.offset is not None and store.offset >= end_offset:
        _log.warning("store_ahead_of_changelog", partition=partition, store=store.offset, end=end_offset)
        store.wipe()
    start_offset = begin_offset if store.offset is None else max(begin_offset, store.offset + 1)
    return Load(partition, store, start_offset, end_offset) if start_offset < end_offset else None


async def load_all(settings: KafkaSettings, topic: str, loads: Sequence[Load]) -> None:
    """Bring every store up to date, all partitions at once."""
    async with started(build_consumer(settings, auto_offset_reset="none")) as consumer:
        await _drain(consumer, {TopicPartition(topic, load.partition): load for load in loads})


async def _drain(consumer: AIOKafkaConsumer, loads: dict[TopicPartition, Load]) -> None:
    ranges = {tp: (load.start_offset, load.end_offset) for tp, load in loads.items()}
    steps = read_range(consumer, ranges, poll_ms=_POLL_MS, max_records=_RECORDS_PER_STEP, stall_seconds=_STALL_SECONDS)
    try:
        async for tp, records in steps:
            _write(loads[tp], records)
            await asyncio.sleep(0)
    except TimeoutError as error:
        raise RecoveryStalled(str(error)) from error
    for load in loads.values():
        _finish(load)


def _write(load: Load, records: Sequence[ConsumerRecord]) -> None:
    # The last record of a key wins, so a step writes each key once.
    newest = {record.key: record.value for record in records}
    puts = [(key, value) for key, value in newest.items() if value is not None]
    deletes = [key for key, value in newest.items() if value is None]
    load.store.write(puts, deletes, records[-1].offset)
    load.records += len(records)


def _finish(load: Load) -> None:
    load.store.write((), (), load.end_offset - 1)


class BulkRecovery(Recovery):
    """Faust's recovery with the reading replaced: when Faust compares offsets, nothing is left for it to read."""

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109 - Faust's signature
        # Faust bounds each of these steps by the request timeout; loading a large changelog rightly takes longer.
        await super()._wait(coro, timeout=None)

    async def _build_offsets(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:
        if title == "active":
            await self._load(consumer, tps)
            for tp in tps:
                destination[tp] = self.tp_to_table[tp].persisted_offset(tp)
        await super()._build_offsets(consumer, tps, destination, title)

    async def _load(self, consumer: Any, tps: set[TP]) -> None:
        begin_offsets = await consumer.earliest_offsets(*tps)
        started = monotonic_seconds()
        for table in {self.tp_to_table[tp] for tp in tps}:
            if isinstance(table, PersonTable):
                own = [tp for tp in tps if self.tp_to_table[tp] is table]
                await self._load_table(table, own, begin_offsets, started)

    async def _load_table(self, table: PersonTable, tps: list[TP], begins: Any, started: float) -> None:
        planned = (
            # Faust's highwater is the last offset, ours the one after it.
            plan_load(tp.partition, table.partition(tp.partition), begins[tp] or 0, self.active_highwaters[tp] + 1)
            for tp in tps
        )
        loads = [load for load in planned if load is not None]
        if not loads:
            return
        await load_all(table.settings, table.changelog_topic_name, loads)
        _log.info(
            "recovered",
            partitions=sorted(load.partition for load in loads),
            records=sum(load.records for load in loads),
            seconds=round(monotonic_seconds() - started, 3),
        )


class BulkTableManager(TableManager):
    """Plugged in by `faust.App(TableManager=…)`."""

    async def on_start(self) -> None:
        # Faust's own sleeps a second first, for tables that are still to be declared; ours is.
        await self._update_channels()
        await self.recovery.start()

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = BulkRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
