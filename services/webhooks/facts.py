"""Turn facts into deliveries: each row of the source topics becomes one for each endpoint of its app that wants it.

    Step 1  read records
    Step 2  write their deliveries to `webhook-deliveries`, in the partition of the endpoint
    Step 3  when all are acknowledged, commit

A crash between 2 and 3 writes the same deliveries again, with the same ids. Nothing here waits for a receiver, so no
receiver can hold up another's facts.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final

import msgspec
from aiokafka import TopicPartition

from pipeline.runtime.clock import now_ms
from pipeline.runtime.kafka.producer import PackingProducer
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import WebhooksSettings
from pipeline.runtime.traces.tracer import traceparent_of
from schemas.control import Snapshot, WebhookEndpoint
from schemas.topics import WEBHOOK_FACTS_GROUP, Topic
from schemas.webhooks import Delivery, delivery_id, encode_delivery, partition_of_endpoint
from services.webhooks.metrics import FACTS, QUEUED, UNREADABLE
from services.webhooks.payload import SOURCES, BadRecord, Fact, facts_of
from services.webhooks.reader import open_group

_POLL_MS: Final = 500
_MAX_RECORDS: Final = 50
_UNHEARD_SECONDS: Final = 0.5
"""Pause between two reads while no app has an endpoint."""
_UNHEARD_RECORDS: Final = 5_000
"""Maximum number of records of such a read: they are passed over."""
_REMEMBERED_IDS: Final = 50_000
_TRACED_FACTS: Final = 16
"""Limit on the facts of one record whose attempts are traced: they share its trace, whoever they are about."""
SOURCE_NAMES: Final[Mapping[Topic, str]] = {Topic.CONVERSIONS: "cv", Topic.ATTRIBUTIONS: "at", Topic.ALERTS: "al"}
"""Short names of a topic's partitions in `Delivery.source`, as many have to fit into a commit; other names than the
first letters used before, which attributions and alerts shared.
"""
log = get_logger("webhooks")


def deliveries_of(
    fact: Fact, endpoints: tuple[WebhookEndpoint, ...], recorded_at_ms: int, queued_at_ms: int
) -> Iterator[Delivery]:
    """Return the deliveries of one fact. `recorded_at_ms`: when its record was written; an endpoint gets no earlier
    ones.

    They come in the order of their endpoints' ids, as `delivery_progress` recognises repeats by their order. Paused and
    disabled endpoints have theirs too: they are logged as skipped and can be sent later. Pure.
    """
    for endpoint in sorted(endpoints, key=attrgetter("endpoint_id")):
        if fact.event_type in endpoint.event_types and recorded_at_ms >= endpoint.created_at_ms:
            yield Delivery(
                delivery_id=delivery_id(endpoint.endpoint_id, fact.event_type, fact.fact_id, fact.revision),
                endpoint_id=endpoint.endpoint_id,
                app_id=fact.app_id,
                event_type=fact.event_type.value,
                fact_id=fact.fact_id,
                order_key=fact.order_key,
                created_at_ms=recorded_at_ms,
                data=msgspec.Raw(fact.data),
                queued_at_ms=queued_at_ms,
            )


class FactsReader:
    def __init__(
        self,
        settings: WebhooksSettings,
        snapshot: Callable[[], Snapshot],
        producer: PackingProducer,
        is_traced: bool = False,
    ) -> None:
        self._is_traced = is_traced
        self._settings = settings
        self._snapshot = snapshot
        self._producer = producer
        self._written: OrderedDict[str, None] = OrderedDict()
        self.reader = open_group(settings, SOURCES, WEBHOOK_FACTS_GROUP)

    async def run(self) -> None:
        """Run forever."""
        while True:
            if self._is_heard():
                batches = await self.reader.read(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
            else:
                await asyncio.sleep(_UNHEARD_SECONDS)
                batches = await self.reader.read(timeout_ms=_POLL_MS, max_records=_UNHEARD_RECORDS)
            if not batches:
                continue
            lines = [line for tp, records in batches.items() for record in records for line in self._lines(tp, record)]
            await asyncio.gather(*(self._producer.put(Topic.WEBHOOK_DELIVERIES, *line) for line in lines))
            QUEUED.inc(len(lines))
            await self.reader.commit({tp: (records[-1].offset + 1, "") for tp, records in batches.items()})

    def _is_heard(self) -> bool:
        """True if some app has an endpoint. Without one, records are not even decoded."""
        return any(self._snapshot().webhooks.values())

    def _lines(self, tp: TopicPartition, record: Any) -> Iterator[tuple[int, bytes]]:
        """Yield (partition, line) of each delivery."""
        if not self._is_heard():
            return
        webhooks = self._snapshot().webhooks
        try:
            facts = list(facts_of(Topic(tp.topic), record.value or b""))
        except BadRecord as error:
            UNREADABLE.labels(tp.topic).inc()
            log.error(
                "unreadable_record", topic=tp.topic, partition=tp.partition, offset=record.offset, reason=str(error)
            )
            return
        traceparent = traceparent_of(record.headers).decode("latin-1") if self._is_traced else ""
        for row, fact in enumerate(facts):
            FACTS.labels(fact.event_type.value).inc()
            for delivery in deliveries_of(fact, webhooks.get(fact.app_id, ()), record.timestamp, now_ms()):
                delivery.source = f"{SOURCE_NAMES[Topic(tp.topic)]}{tp.partition}"
                delivery.source_offset, delivery.source_row = record.offset, row
                delivery.traceparent = traceparent if row < _TRACED_FACTS else ""
                if self._is_new(delivery.delivery_id):
                    partition = partition_of_endpoint(delivery.endpoint_id, self._settings.partitions)
                    yield partition, encode_delivery(delivery)

    def _is_new(self, found_id: str) -> bool:
        """Tell whether the row is new: the stream may write a row again after a crash of its own."""
        if found_id in self._written:
            return False
        self._written[found_id] = None
        if len(self._written) > _REMEMBERED_IDS:
            self._written.popitem(last=False)
        return True
