"""Write outcomes to Kafka: a row of `webhook-attempts`, and the delivery to `webhook-retries` if it comes again.

When both are acknowledged the delivery is done.
"""

import asyncio
from collections.abc import Awaitable

from pipeline.runtime.clock import now_ms
from pipeline.runtime.kafka.producer import PackingProducer
from pipeline.runtime.lifecycle import Background
from schemas.facts import encode_row
from schemas.topics import Topic
from schemas.webhooks import partition_of_endpoint
from services.webhooks.attempt_outcome import AttemptOutcome
from services.webhooks.endpoint_queue import Item
from services.webhooks.metrics import ATTEMPTS
from services.webhooks.retry_queue import put_delayed


class OutcomeWriter:
    def __init__(self, producer: PackingProducer, partitions: int) -> None:
        self._producer = producer
        self._partitions = partitions
        self._writing = Background()

    def write(self, item: Item, outcome: AttemptOutcome) -> None:
        """Write in the background."""
        ATTEMPTS.labels(outcome.outcome.value).inc()
        self._writing.start(self._write(item, outcome))

    async def drain(self, at_most_seconds: float) -> None:
        """Wait for what is being written."""
        await self._writing.wait(at_most_seconds)

    async def _write(self, item: Item, outcome: AttemptOutcome) -> None:
        writes: list[Awaitable[None]] = []
        if outcome.row is not None:
            partition = partition_of_endpoint(item.delivery.endpoint_id, self._partitions)
            writes.append(self._producer.put(Topic.WEBHOOK_ATTEMPTS, partition, encode_row(outcome.row)))
        if outcome.again is not None:
            writes.append(put_delayed(self._producer, outcome.again, now_ms()))
        await asyncio.gather(*writes)
        if not item.progress.is_closed:
            item.progress.done(item.offset)
