"""Queue of retries: moves deliveries that wait in `webhook-retries`; the head of each partition gives the time the
partition can rest.

`delay_queue` says why that is so. What was read and is not due stays in memory, a bounded number of records per
partition, while the partition is paused; the consumer goes on polling, so the group keeps it. What is due goes to
`webhook-deliveries`, or into the next shorter delay, and only then is its offset committed.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from aiokafka import TopicPartition

from pipeline.runtime.clock import now_ms
from pipeline.runtime.kafka.producer import PackingProducer
from pipeline.runtime.lifecycle import task_group
from pipeline.runtime.settings import WebhooksSettings
from schemas.topics import WEBHOOK_RETRIES_GROUP, Topic
from schemas.webhooks import Delivery, encode_delivery, partition_of_endpoint
from services.webhooks.delay_queue import partition_for_wait, wait_until_ms
from services.webhooks.metrics import MOVED
from services.webhooks.reader import open_group, read_deliveries

_LONGEST_POLL_MS: Final = 2_000
_MAX_RECORDS: Final = 16
_LAST_MOVE_SECONDS: Final = 3.0

Record = Any
"""An aiokafka `ConsumerRecord`."""


async def put_delayed(producer: PackingProducer, delivery: Delivery, now: int) -> None:
    """Write a delivery to its waiting partition. `now`: milliseconds. Returns when it is acknowledged."""
    partition = partition_for_wait(delivery.due_ms - now)
    delivery.wait_until_ms = wait_until_ms(partition, now)
    await producer.put(Topic.WEBHOOK_RETRIES, partition, encode_delivery(delivery))


async def put_due(producer: PackingProducer, delivery: Delivery, partitions: int) -> None:
    """Write a delivery to its endpoint's partition. Returns when it is acknowledged."""
    partition = partition_of_endpoint(delivery.endpoint_id, partitions)
    await producer.put(Topic.WEBHOOK_DELIVERIES, partition, encode_delivery(delivery))


class RetryQueue:
    def __init__(self, settings: WebhooksSettings, producer: PackingProducer) -> None:
        self._settings = settings
        self._producer = producer
        self._held: dict[TopicPartition, deque[tuple[int, list[Delivery], Record]]] = {}
        self.reader = open_group(settings, [Topic.WEBHOOK_RETRIES], WEBHOOK_RETRIES_GROUP, on_end=self._drop_held)

    async def run(self) -> None:
        """Run forever. What is being moved when it is cancelled is moved and committed first: it would be moved
        twice.
        """
        while True:
            batches = await self.reader.read(timeout_ms=self._rest_ms(now_ms()), max_records=_MAX_RECORDS)
            for tp, records in batches.items():
                self._hold(tp, records)
            moving = asyncio.create_task(self._move_due(now_ms()))
            try:
                await asyncio.shield(moving)
            except asyncio.CancelledError:
                await asyncio.wait([moving], timeout=_LAST_MOVE_SECONDS)
                moving.cancel()
                raise

    def _drop_held(self) -> None:
        self._held = {}

    def _rest_ms(self, now: int) -> int:
        """Return the time until the first head is due, but not so long that the group would drop this member."""
        heads = [held[0][0] - now for held in self._held.values()]
        return max(0, min([_LONGEST_POLL_MS, *heads]))

    def _hold(self, tp: TopicPartition, records: list[Record]) -> None:
        held = self._held.setdefault(tp, deque())
        held.extend(map(_read, records))
        self.reader.pause(tp)

    async def _move_due(self, now: int) -> None:
        moved = {tp: list(_take_due(held, now)) for tp, held in self._held.items()}
        if not any(moved.values()):
            return
        held = self._held
        async with task_group() as moves:
            for _, some, _ in [record for taken in moved.values() for record in taken]:
                for delivery in some:
                    moves.create_task(self._move(delivery, now))
                await asyncio.sleep(0)  # others have their turn between two records
        if held is not self._held:
            return  # another generation began: whoever has the partition now moves them once more
        await self.reader.commit({tp: (taken[-1][2].offset + 1, "") for tp, taken in moved.items() if taken})
        if held is not self._held:
            return
        for tp in [tp for tp, left in held.items() if not left]:
            del held[tp]
            self.reader.resume(tp)

    async def _move(self, delivery: Delivery, now: int) -> None:
        if delivery.due_ms <= now:
            MOVED.labels("due").inc()
            await put_due(self._producer, delivery, self._settings.partitions)
        else:
            MOVED.labels("waiting").inc()
            await put_delayed(self._producer, delivery, now)


def _read(record: Record) -> tuple[int, list[Delivery], Record]:
    """Read a record with the time it waits for: that of its last line, the latest."""
    deliveries = read_deliveries(record)
    return max([delivery.wait_until_ms for delivery in deliveries], default=0), deliveries, record


def _take_due(
    held: deque[tuple[int, list[Delivery], Record]], now: int
) -> Iterator[tuple[int, list[Delivery], Record]]:
    while held and held[0][0] <= now:
        yield held.popleft()
