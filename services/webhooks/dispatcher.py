"""Dispatch deliveries to their endpoints: one consumer over `webhook-deliveries`; every endpoint has a queue of its
own.

    Step 1  read a record; number its new deliveries
    Step 2  offer each to its endpoint's queue; what the queue does not take is put off
    Step 3  attempt; write to `webhook-attempts` how it ended, and to `webhook-retries` if it comes again
    Step 4  when both are acknowledged the delivery is done; commit offsets before which everything is done, with the
            numbers given out up to there

A crash anywhere repeats what was not committed, with the same ids and the same numbers.
"""

import asyncio
from typing import Any, Final

from aiokafka import TopicPartition

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.kafka.group_reader import Assignment, GroupReader
from pipeline.runtime.kafka.producer import PackingProducer
from pipeline.runtime.lifecycle import task_group
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import WebhooksSettings
from schemas.control import WebhookEndpoint
from schemas.topics import WEBHOOK_DELIVERIES_GROUP, Topic
from schemas.webhooks import Delivery
from services.webhooks.attempts import Attempts
from services.webhooks.delivery_progress import DeliveryProgress, Mark, read_metadata
from services.webhooks.endpoint_queue import EndpointQueue, Item, Memory
from services.webhooks.endpoints import Endpoints
from services.webhooks.metrics import OPEN_CIRCUITS
from services.webhooks.outcome_writer import OutcomeWriter
from services.webhooks.reader import open_group, read_deliveries

_POLL_MS: Final = 500
_MAX_RECORDS: Final = 50
_COMMIT_SECONDS: Final = 0.5
log = get_logger("webhooks")

Record = Any
"""An aiokafka `ConsumerRecord`."""


class Dispatcher:
    def __init__(
        self,
        settings: WebhooksSettings,
        endpoints: Endpoints,
        producer: PackingProducer,
        writer: OutcomeWriter,
        attempts: Attempts,
    ) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._producer = producer
        self._writer = writer
        self._attempts = attempts
        self._memory = Memory(settings.webhook_queue_bytes)
        self._queues: dict[str, EndpointQueue] = {}
        self._progress: dict[TopicPartition, DeliveryProgress] = {}
        self.reader: GroupReader = open_group(
            settings,
            [Topic.WEBHOOK_DELIVERIES],
            WEBHOOK_DELIVERIES_GROUP,
            on_end=self._end_generation,
            on_begin=self._begin_generation,
        )

    async def run(self) -> None:
        """Run forever."""
        async with task_group() as group:
            group.create_task(self._keep_house())
            while True:
                batches = await self.reader.read(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
                self._follow_endpoints()
                for tp, records in batches.items():
                    for record in records:
                        await self._take(tp, record)
                await self._producer.room()

    async def drain(self) -> None:
        """Let the attempts under way end, and commit."""
        running = [task for queue in self._queues.values() for task in queue.stop()]
        at_most_seconds = self._settings.webhook_timeout_seconds + 1
        if running:
            await asyncio.wait(running, timeout=at_most_seconds)
        await self._writer.drain(at_most_seconds)
        await self._commit()

    # Steps 1 and 2

    def _end_generation(self) -> None:
        for progress in self._progress.values():
            progress.is_closed = True
        for queue in self._queues.values():
            queue.drop_stale()
        self._progress = {}

    def _begin_generation(self, assignment: Assignment) -> None:
        self._progress = {tp: DeliveryProgress(read_metadata(at.metadata)) for tp, at in assignment.items()}

    async def _take(self, tp: TopicPartition, record: Record) -> None:
        progress = self._progress.get(tp)
        if progress is None:
            return  # the partition went while others were looked at
        deliveries = read_deliveries(record)
        progress.began(record.offset, len(deliveries))
        for delivery in deliveries:
            if not delivery.sequence and not _number(progress, record.offset, delivery):
                progress.done(record.offset)
                continue
            size = len(bytes(delivery.data)) + 1_000
            self._dispatch(Item(delivery, size, progress, record.offset))
            # Answers are read meanwhile: hundreds of deliveries in a record must not hold up those under way.
            await asyncio.sleep(0)

    def _dispatch(self, item: Item) -> None:
        endpoint = self._endpoints.get(item.delivery.endpoint_id)
        if endpoint is None:
            item.progress.done(item.offset)  # it was removed, and nobody could ask for its log
            return
        if self._attempts.skip_if_inactive(endpoint, item):
            return
        queue = self._queue_of(endpoint)
        refusal = queue.offer(item)
        if refusal:
            self._attempts.put_off(queue, item, refusal)

    def _queue_of(self, endpoint: WebhookEndpoint) -> EndpointQueue:
        queue = self._queues.get(endpoint.endpoint_id)
        if queue is None:
            limit, attempts = self._settings.webhook_queue_deliveries, self._attempts
            queue = EndpointQueue(endpoint, self._memory, limit, attempts.attempt, attempts.put_off)
            self._queues[endpoint.endpoint_id] = queue
        return queue

    def _follow_endpoints(self) -> None:
        """Give the queues their endpoints' present settings; drop those of endpoints that were removed."""
        if not self._endpoints.refresh():
            return
        for endpoint_id, queue in list(self._queues.items()):
            endpoint = self._endpoints.get(endpoint_id)
            if endpoint is not None:
                queue.update(endpoint)
            elif queue.is_idle:
                del self._queues[endpoint_id]

    # Step 4

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            now = monotonic_seconds()
            for queue in list(self._queues.values()):
                await queue.sweep(now)
            OPEN_CIRCUITS.set(sum(not queue.breaker.is_closed for queue in self._queues.values()))
            await self._commit()

    async def _commit(self) -> None:
        await self.reader.commit(
            {
                tp: (offset, progress.metadata())
                for tp, progress in self._progress.items()
                if (offset := progress.committable()) is not None
            }
        )


def _number(progress: DeliveryProgress, offset: int, delivery: Delivery) -> bool:
    """Give the delivery its number; False: it was read before."""
    mark = Mark(delivery.source_offset, delivery.source_row, delivery.created_at_ms, delivery.endpoint_id)
    if progress.is_repeat(offset, delivery.source, mark):
        return False
    delivery.sequence = progress.number(offset, delivery.endpoint_id)
    return True
