"""The Kafka side of the loader: read into the buffers as a member of the group, and commit.

A change of the assignment empties the buffers. Before the first read after it the group's offsets are compared with
what ClickHouse says it holds, so tables that were emptied or restored are filled again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.group_reader import Assigned, Assignment, Batches, GroupReader
from pipeline.runtime.kafka.group_reader import Positions as ReadPositions
from pipeline.runtime.log import get_logger
from pipeline.runtime.traces.tracer import traceparent_of
from pipeline.runtime.waiting import event_or_timeout
from services.loader import metrics
from services.loader.blocks import Buffer, Message, PartitionKey, Positions, start_position

_POLL_MS: Final = 500

log = get_logger("loader")


class Reader:
    """`loaded_offsets` asks ClickHouse, waiting while it is away."""

    def __init__(
        self,
        settings: KafkaSettings,
        group: str,
        instance_id: str | None,
        buffers: Mapping[str, Buffer],
        positions: Positions,
        loaded_offsets: Callable[[], Awaitable[dict[PartitionKey, int]]],
        is_traced: bool = False,
    ) -> None:
        self._is_traced = is_traced
        self._buffers = buffers
        self._positions = positions
        self._loaded_offsets = loaded_offsets
        self._arrivals = {topic: asyncio.Event() for topic in buffers}
        self._room = asyncio.Event()
        self._group = GroupReader(
            settings,
            buffers,
            group,
            log,
            instance_id=instance_id,
            on_end=self._forget,
            positions=self._read_positions,
            lag=metrics.LAG,
        )

    async def start(self) -> None:
        """Start the reader. Raises `KafkaConnectionError` while no broker answers."""
        await self._group.start()

    async def stop(self) -> None:
        await self._group.stop()

    @property
    def is_assigned(self) -> bool:
        """True while the group has given this loader its partitions."""
        return self._group.is_assigned

    @property
    def committed(self) -> Mapping[PartitionKey, int]:
        """First uncommitted offset of each partition assigned now."""
        return self._group.committed

    async def run(self) -> None:
        """Read forever. Raises `RecordsLost`, and Kafka errors that cannot be tried again."""
        while True:
            wanted = self._partitions_with_room()
            if wanted is None:
                self._room.clear()
                await self._room.wait()
                continue
            self._gather(await self._group.read(*wanted, timeout_ms=_POLL_MS))

    async def arrival(self, topic: str, at_most_seconds: float | None) -> None:
        """Wait until messages of the topic arrive, or the time is over."""
        event = self._arrivals[topic]
        event.clear()
        await event_or_timeout(event, at_most_seconds)

    def made_room(self) -> None:
        """Note that a block was taken out of a buffer."""
        self._room.set()

    def wake(self) -> None:
        """End every wait for an arrival."""
        for event in self._arrivals.values():
            event.set()

    def owned(self, positions: dict[PartitionKey, int]) -> dict[PartitionKey, int]:
        """Return the positions of partitions assigned to this process now."""
        assigned = self._group.assignment
        return {place: offset for place, offset in positions.items() if TopicPartition(*place) in assigned}

    async def commit(self, positions: dict[PartitionKey, int]) -> bool:
        """Commit; False: to be tried again."""
        return await self._group.commit({TopicPartition(*place): (at, "") for place, at in positions.items()})

    def _forget(self) -> None:
        """Begin nothing new. What is being inserted stays, uncommitted; the next owner inserts it again,
        deduplicated.
        """
        self._positions.new_epoch()
        for buffer in self._buffers.values():
            buffer.clear()
        self._room.set()

    async def _read_positions(self, assignment: Assignment) -> ReadPositions:
        loaded = await self._loaded_offsets()
        return {tp: _read_position(tp, at, loaded.get((tp.topic, tp.partition))) for tp, at in assignment.items()}

    def _partitions_with_room(self) -> list[TopicPartition] | None:
        """Return the partitions with room for messages. Empty: all; None: none."""
        full = {topic for topic, buffer in self._buffers.items() if not buffer.has_room}
        if not full:
            return []
        return [tp for tp in self._group.assignment if tp.topic not in full] or None

    def _gather(self, batches: Batches) -> None:
        now = monotonic_seconds()
        for tp, records in batches.items():
            buffer = self._buffers[tp.topic]
            for record in records:
                buffer.add(self._message(record), now)
            self._arrivals[tp.topic].set()

    def _message(self, record: Any) -> Message:
        traceparent = traceparent_of(record.headers) if self._is_traced else b""
        value = record.value or b""
        return Message(record.topic, record.partition, record.offset, record.timestamp, value, traceparent)


def _read_position(tp: TopicPartition, at: Assigned, loaded: int | None) -> int:
    """Return where to read on: the committed offset, or less where ClickHouse holds less than the group has
    committed. A topic that ends before it has lost records: it is read from its beginning, as rows replace each other.
    """
    start = start_position(at.committed, loaded)
    if start is not None:
        log.warning("reading_again", topic=tp.topic, partition=tp.partition, committed=at.committed, start=start)
        return start
    return at.begin if at.committed is None or at.committed > at.end else at.committed
