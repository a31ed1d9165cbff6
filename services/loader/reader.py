"""The Kafka side of the loader: read into the buffers, follow the group's assignment, commit.

Three things about positions keep this safe:

- A change of the assignment starts a new epoch. Buffers are emptied, and what was taken in an earlier epoch is never
  committed in a later one: whoever owns the partition now reads it again.
- Before the first read of an epoch the group's offsets are compared with what ClickHouse says it holds (`_align`), so
  tables that were emptied or restored are filled again.
- Records that arrive between an assignment and that comparison are put back (`_unread`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.log import get_logger
from pipeline.runtime.waiting import event_or_timeout
from services.loader import metrics
from services.loader.blocks import Buffer, Message, Place, Positions, start_position

_POLL_MS: Final = 500
_ALIGN_BACKOFF_SECONDS: Final = 0.5

log = get_logger("loader")


class Reader(ConsumerRebalanceListener):  # type: ignore[misc]
    """`loaded_offsets` asks ClickHouse, waiting while it is away."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        buffers: Mapping[str, Buffer],
        positions: Positions,
        loaded_offsets: Callable[[], Awaitable[dict[Place, int]]],
    ) -> None:
        self._consumer = consumer
        self._buffers = buffers
        self._positions = positions
        self._loaded_offsets = loaded_offsets
        self._arrivals = {topic: asyncio.Event() for topic in buffers}
        self._room = asyncio.Event()
        self._aligned_epoch = -1
        self.committed: dict[Place, int] = {}
        """First uncommitted offset of each partition assigned now."""

    async def start(self) -> None:
        """Start the reader. Raises `KafkaConnectionError` while no broker answers."""
        self._consumer.subscribe(list(self._buffers), listener=self)
        await self._consumer.start()

    async def stop(self) -> None:
        await self._consumer.stop()

    async def run(self) -> None:
        """Read forever. Raises Kafka errors that cannot be tried again."""
        while True:
            epoch = self._positions.epoch
            if self._aligned_epoch != epoch:
                await self._align(epoch)
                continue
            wanted = self._partitions_with_room()
            if wanted is None:
                self._room.clear()
                await self._room.wait()
                continue
            batches = await self._consumer.getmany(*wanted, timeout_ms=_POLL_MS)
            if epoch == self._positions.epoch:
                self._gather(batches)
                self._measure_lag()
            else:
                self._unread(batches)

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

    def owned(self, positions: dict[Place, int]) -> dict[Place, int]:
        """Return the positions of partitions assigned to this process now."""
        assigned = {(tp.topic, tp.partition) for tp in self._consumer.assignment()}
        return {place: offset for place, offset in positions.items() if place in assigned}

    async def commit(self, positions: dict[Place, int]) -> bool:
        """Commit; False: to be tried again. If the group has moved on there is nothing to try: the next owner reads
        again.
        """
        try:
            await self._consumer.commit({TopicPartition(*place): offset for place, offset in positions.items()})
        except (CommitFailedError, IllegalStateError) as error:
            log.info("commit refused", reason=type(error).__name__, partitions=len(positions))
            return True
        except KafkaError as error:
            log.warning("commit failed", reason=repr(error)[:300], partitions=len(positions))
            return False
        self.committed |= positions
        return True

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Begin nothing new. What is being inserted stays, uncommitted; the next owner inserts it again,
        deduplicated.

        There is no last commit: it is only milliseconds behind, and some brokers throw out a member who commits now.
        """
        self._new_epoch()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Clear the buffers again, because the fetcher may have handed out messages of the earlier assignment in
        between.
        """
        self._new_epoch()
        log.info("partitions assigned", count=len(list(assigned)), epoch=self._positions.epoch)

    def _new_epoch(self) -> None:
        self._positions.new_epoch()
        self.committed = {}
        for buffer in self._buffers.values():
            buffer.clear()
        self._room.set()

    async def _align(self, epoch: int) -> None:
        """Seek back where ClickHouse holds less than the group has committed."""
        assignment = list(self._consumer.assignment())
        try:
            loaded = await self._loaded_offsets()
            committed = await asyncio.gather(*map(self._consumer.committed, assignment))
            beginnings = await self._consumer.beginning_offsets(assignment) if assignment else {}
            for tp, offset in zip(assignment, committed, strict=True):
                self._go_back(tp, offset, loaded.get((tp.topic, tp.partition)))
            if epoch == self._positions.epoch:
                found = zip(assignment, committed, strict=True)
                self.committed = {(tp.topic, tp.partition): max(at or 0, beginnings[tp]) for tp, at in found}
            self._aligned_epoch = epoch
        except IllegalStateError:
            await asyncio.sleep(0)  # revoked meanwhile: the next epoch starts over
        except KafkaError as error:
            log.warning("committed offsets unknown", reason=repr(error)[:300])
            await asyncio.sleep(_ALIGN_BACKOFF_SECONDS)

    def _go_back(self, tp: TopicPartition, committed: int | None, loaded: int | None) -> None:
        start = start_position(committed, loaded)
        if start is not None:
            log.warning("reading again", topic=tp.topic, partition=tp.partition, committed=committed, start=start)
            self._consumer.seek(tp, start)

    def _partitions_with_room(self) -> list[TopicPartition] | None:
        """Return the partitions with room for messages. Empty: all; None: none."""
        full = {topic for topic, buffer in self._buffers.items() if not buffer.has_room}
        if not full:
            return []
        return [tp for tp in self._consumer.assignment() if tp.topic not in full] or None

    def _gather(self, batches: dict[TopicPartition, list[ConsumerRecord[Any, Any]]]) -> None:
        now = monotonic_seconds()
        for tp, records in batches.items():
            buffer = self._buffers[tp.topic]
            for record in records:
                buffer.add(Message(tp.topic, tp.partition, record.offset, record.timestamp, record.value or b""), now)
            self._arrivals[tp.topic].set()

    def _unread(self, batches: dict[TopicPartition, list[ConsumerRecord[Any, Any]]]) -> None:
        for tp, records in batches.items():
            with suppress(IllegalStateError):
                self._consumer.seek(tp, records[0].offset)

    def _measure_lag(self) -> None:
        for (topic, partition), committed in self.committed.items():
            end = self._consumer.highwater(TopicPartition(topic, partition))
            if end is not None:
                metrics.LAG.labels(topic, str(partition)).set(max(0, end - committed))
