"""Recovery in bulk: the changelog is read thousands of records at a time, straight into the stores.

Record by record through Faust's streams, a million persons take many minutes.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.read_range import read_range, whole_range
from pipeline.runtime.log import get_logger
from pipeline.stream.partition.open_stores import OpenStores
from pipeline.stream.partition.stores import PartitionStore

_RECORDS_PER_STEP: Final = 10_000
_POLL_MS: Final = 500
_STALL_SECONDS: Final = 60.0
_BACKOFF_MS: Final = 20
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


async def load_changelog(settings: KafkaSettings, topic: str, partitions: Iterable[int], stores: OpenStores) -> None:
    """Bring the stores of the partitions to the present end of the changelog."""
    started_at = monotonic_seconds()
    async with started(_build_consumer(settings)) as consumer:
        whole = await whole_range(consumer, [TopicPartition(topic, partition) for partition in sorted(partitions)])
        planned = [plan_load(place.partition, stores.of(place.partition), *span) for place, span in whole.items()]
        loads = [load for load in planned if load is not None]
        await _drain(consumer, topic, loads)
    if loads:
        _log.info(
            "recovered",
            partitions=[load.partition for load in loads],
            records=sum(load.records for load in loads),
            seconds=round(monotonic_seconds() - started_at, 3),
        )


async def load_all(settings: KafkaSettings, topic: str, loads: Sequence[Load]) -> None:
    """Bring every store up to date, all partitions at once."""
    async with started(_build_consumer(settings)) as consumer:
        await _drain(consumer, topic, loads)


def _build_consumer(settings: KafkaSettings) -> AIOKafkaConsumer:
    # It waits as long as the back-off says once, to learn of the topic.
    return build_consumer(settings, auto_offset_reset="none", retry_backoff_ms=_BACKOFF_MS)


async def _drain(consumer: AIOKafkaConsumer, topic: str, wanted: Sequence[Load]) -> None:
    loads = {TopicPartition(topic, load.partition): load for load in wanted}
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
