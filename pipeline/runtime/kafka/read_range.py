"""Read ranges of partitions up to an offset, the present end of a partition say, in no group."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.runtime.clock import monotonic_seconds

Record = Any
"""An aiokafka `ConsumerRecord`."""
Ranges = Mapping[TopicPartition, tuple[int, int]]
"""Partition → [begin, end) of offsets."""


async def read_range(
    consumer: AIOKafkaConsumer,
    ranges: Ranges,
    *,
    poll_ms: int = 200,
    max_records: int | None = None,
    stall_seconds: float | None = None,
) -> AsyncGenerator[tuple[TopicPartition, list[Record]]]:
    """Yield what the partitions hold of the ranges, in batches of one partition each, in order within it.

    `consumer` is started and in no group; it is assigned to the partitions, and fetches nothing more when they are
    read. `stall_seconds`: raises `TimeoutError` when nothing has come for so long (None: never). Raises aiokafka's
    errors.
    """
    left = {tp: end for tp, (begin, end) in ranges.items() if begin < end}
    _assign(consumer, {tp: ranges[tp][0] for tp in left})
    moved_at = monotonic_seconds()
    while left:
        batches = await consumer.getmany(*left, timeout_ms=poll_ms, max_records=max_records)
        for tp, records in batches.items():
            wanted = [record for record in records if record.offset < left[tp]]
            if wanted:
                yield tp, wanted
        # The position, not the last record seen, tells the end: compaction and markers leave holes, also at the tail.
        done = [tp for tp, end in left.items() if await consumer.position(tp) >= end]
        for tp in done:
            del left[tp]
            consumer.pause(tp)
        if batches or done:
            moved_at = monotonic_seconds()
        elif stall_seconds is not None and monotonic_seconds() - moved_at > stall_seconds:
            raise TimeoutError(f"nothing read for {stall_seconds:.0f} s: {sorted(left)}")
        await asyncio.sleep(0)  # others have their turn where records come without a wait


def _assign(consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
    if positions:
        consumer.assign(list(positions))
    for tp, offset in positions.items():
        consumer.seek(tp, offset)


async def whole_range(consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> Ranges:
    """Return what the partitions hold now, from their beginning to their end."""
    begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    return {place: (begins[place], ends[place]) for place in places}


async def first_record(
    consumer: AIOKafkaConsumer, tp: TopicPartition, begin: int, end: int, stall_seconds: float | None = None
) -> Record | None:
    """Return the first record of [begin, end); None if it holds none. See `read_range`."""
    batches = read_range(consumer, {tp: (begin, end)}, max_records=1, stall_seconds=stall_seconds)
    async with aclosing(batches):
        async for _, records in batches:
            return records[0]
    return None
