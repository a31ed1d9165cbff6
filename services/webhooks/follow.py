"""Read a topic as a member of a group: find where to begin after every assignment, and commit.

A new assignment is an *epoch*. Before its first read the committed offsets are asked for, with their metadata, and the
consumer is put there; what an earlier epoch read, or still has to finish, is never committed in a later one. A
committed offset beyond the topic's end (a broker that lost its last moments) means the end: to begin at the start would
send everything again.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from pipeline.runtime.kafka.clients import build_consumer
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import Settings
from schemas.topics import Topic
from services.webhooks.metrics import LAG

_PAUSE_SECONDS: Final = 0.5
Batches = Mapping[TopicPartition, list[Any]]
log = get_logger("webhooks")


class Follower(ConsumerRebalanceListener):  # type: ignore[misc]
    """Consumer of a topic. `on_epoch` gets partition → metadata of its last commit (empty: none) whenever an epoch
    begins.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Iterable[Topic],
        group: str,
        on_epoch: Callable[[dict[TopicPartition, str]], None],
    ) -> None:
        self._settings = settings
        self._topics = [topic.value for topic in topics]
        self._group = group
        self._on_epoch = on_epoch
        self._epoch = 0
        self._ready_epoch = -1
        self.reads = 0
        """Number of times it was asked for what has come."""
        self._committed: dict[TopicPartition, int] = {}
        self.consumer: AIOKafkaConsumer

    @property
    def is_assigned(self) -> bool:
        return self._ready_epoch == self._epoch and self._epoch > 0

    async def start(self) -> None:
        """Start the consumer. Raises aiokafka's errors while no broker answers."""
        name = self._settings.webhooks_instance
        self.consumer = build_consumer(self._settings, [], self._group, f"{self._group}-{name}" if name else None)
        self.consumer.subscribe(self._topics, listener=self)
        try:
            await self.consumer.start()
        except BaseException:
            await self.consumer.stop()
            raise

    async def stop(self) -> None:
        await self.consumer.stop()

    async def read(self, timeout_ms: int, max_records: int) -> Batches:
        """Return the records that came in the present epoch; may be empty."""
        self.reads += 1
        if self._ready_epoch != self._epoch:
            await self._begin_epoch(self._epoch)
            return {}
        epoch = self._epoch
        batches: Batches = await self.consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        if epoch != self._epoch:
            return {}
        self._measure_lag()
        return batches

    async def commit(self, positions: dict[TopicPartition, tuple[int, str]]) -> None:
        """Commit next offset and metadata by partition. Where the group has moved on there is nothing to commit."""
        assigned = self.consumer.assignment()
        wanted = {tp: at for tp, at in positions.items() if tp in assigned and self._committed.get(tp) != at[0]}
        if not wanted or not self.is_assigned:
            return
        try:
            await self.consumer.commit(wanted)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("commit refused", group=self._group, reason=type(error).__name__)
        except KafkaError as error:
            log.warning("commit failed", group=self._group, reason=repr(error)[:300])
        else:
            self._committed |= {tp: at[0] for tp, at in wanted.items()}

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._end_epoch()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._end_epoch()

    def _end_epoch(self) -> None:
        self._epoch += 1
        self._committed = {}
        self._on_epoch({})

    async def _begin_epoch(self, epoch: int) -> None:
        assignment = list(self.consumer.assignment())
        try:
            committed = await self._read_committed()
            ends = await self.consumer.end_offsets(assignment) if assignment else {}
            for tp in assignment:
                await self._place(tp, committed.get(tp), ends[tp])
        except (KafkaError, IllegalStateError, OSError) as error:
            log.warning("committed offsets unknown", group=self._group, reason=repr(error)[:300])
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        if epoch == self._epoch:
            self._ready_epoch = epoch
            self._on_epoch({tp: committed[tp].metadata or "" if tp in committed else "" for tp in assignment})
            if not assignment:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _place(self, tp: TopicPartition, committed: OffsetAndMetadata | None, end: int) -> None:
        if committed is None or committed.offset < 0:
            await self.consumer.seek_to_beginning(tp)
        else:
            self.consumer.seek(tp, min(committed.offset, end))

    async def _read_committed(self) -> dict[TopicPartition, OffsetAndMetadata]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.kafka_bootstrap)
        try:
            await admin.start()
            found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(self._group)
            return found
        finally:
            await admin.close()

    def _measure_lag(self) -> None:
        for tp, committed in self._committed.items():
            end = self.consumer.highwater(tp)
            if end is not None:
                LAG.labels(tp.topic, str(tp.partition)).set(max(0, end - committed))
