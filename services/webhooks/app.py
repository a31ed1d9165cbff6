"""The dispatcher put together: three group readers, one producer, one sender.

`await Webhooks(settings).run(stop)` returns when everything under way has ended and is committed; it raises what it
cannot go on after (another number of partitions, the wrong key of secrets).
"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from aiohttp.abc import AbstractResolver
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from pipeline.control import SnapshotNotLoaded, SnapshotSource
from pipeline.control.webhooks import StateChange, WebhookEndpoints
from pipeline.runtime.clock import monotonic_seconds, now_ms
from pipeline.runtime.kafka.producer import PackingProducer
from pipeline.runtime.lifecycle import Stopped, run_before, run_until
from pipeline.runtime.liveness import Liveness, watch
from pipeline.runtime.log import get_logger
from pipeline.runtime.retry import retry
from pipeline.runtime.secret_box import SecretBox
from pipeline.runtime.settings import WebhooksSettings
from pipeline.runtime.topics import ensure_topics
from pipeline.runtime.traces.tracer import Tracer
from schemas.facts import AlertRow, encode_row
from schemas.ids import partition_for
from schemas.topics import Topic
from services.webhook_calls.sender import Sender
from services.webhooks.attempts import Attempts
from services.webhooks.dispatcher import Dispatcher
from services.webhooks.endpoint_health import EndpointHealth, NotWritten
from services.webhooks.endpoints import Endpoints
from services.webhooks.facts import FactsReader
from services.webhooks.outcome_writer import OutcomeWriter
from services.webhooks.retry_queue import RetryQueue
from services.webhooks.retry_schedule import RetrySchedule

_BROKER_AWAY: Final = (KafkaError, OSError)
_DAY_MS: Final = 86_400_000
log = get_logger("webhooks")


class Webhooks:
    """The dispatcher. `resolver`: a resolver of names, for tests."""

    def __init__(
        self, settings: WebhooksSettings, resolver: AbstractResolver | None = None, tracer: Tracer | None = None
    ) -> None:
        self._settings = settings
        self._snapshots = SnapshotSource(settings.control_plane_dsn(), settings.control_plane_refresh_seconds)
        self._store = WebhookEndpoints(settings.control_plane_dsn())
        self._producer = PackingProducer(settings, log)
        self._sender = Sender(settings, resolver)
        self._health = EndpointHealth(self._record, self._alert, int(settings.webhook_disable_days * _DAY_MS))
        box = SecretBox.open(settings, creates=True)
        endpoints = Endpoints(self._snapshots.current, self._health)
        writer = OutcomeWriter(self._producer, settings.partitions)
        attempts = Attempts(endpoints, self._sender, box, RetrySchedule(settings.webhook_retries()), writer, tracer)
        self._facts = FactsReader(settings, self._snapshots.current, self._producer, tracer is not None)
        self._retries = RetryQueue(settings, self._producer)
        self._dispatcher = Dispatcher(settings, endpoints, self._producer, writer, attempts)
        self._is_stopping = False
        self._readers = {
            "facts": self._facts.reader,
            "retries": self._retries.reader,
            "deliveries": self._dispatcher.reader,
        }
        self._liveness = Liveness[str](settings.stall_seconds)

    async def run(self, stop: asyncio.Event) -> None:
        try:
            with suppress(Stopped):
                await run_before(stop, self._start())
                await self._work(stop)
        finally:
            self._is_stopping = True
            await self._stop()

    async def missing(self) -> list[str]:
        """Name the parts that readiness waits for, in words."""
        found = {
            "stopping": self._is_stopping,
            "broker": not (self._producer.is_connected and all(r.is_assigned for r in self._readers.values())),
            "control plane": not self._snapshots.is_loaded,
        }
        return [name for name, is_missing in found.items() if is_missing]

    def stalled(self) -> dict[str, float]:
        """Readers that do not come back for more though the broker is there, and for how many seconds. What waits for a
        receiver or for its time stops no reader."""
        return self._liveness.stalled(monotonic_seconds())

    async def _start(self) -> None:
        await self._snapshots.start()
        await retry(self._check_snapshot, (SnapshotNotLoaded,), log, "waiting", waiting_for="control plane")
        await retry(lambda: ensure_topics(self._settings), _BROKER_AWAY, log, "waiting", waiting_for="broker")
        await self._producer.start()
        await self._sender.start()
        for reader in self._readers.values():
            await retry(reader.start, _BROKER_AWAY, log, "waiting", waiting_for="broker")
        log.info("webhooks_started", bootstrap=self._settings.kafka_bootstrap)

    async def _work(self, stop: asyncio.Event) -> None:
        parts = [self._facts.run(), self._retries.run(), self._dispatcher.run(), self._health.run()]
        try:
            await run_until(stop, *parts, self._watch_liveness())
        finally:
            await self._dispatcher.drain()
            with suppress(NotWritten):
                await self._health.flush()

    async def _stop(self) -> None:
        for reader in self._readers.values():
            with suppress(KafkaError):
                await reader.stop()
        await self._sender.stop()
        await self._producer.stop()
        await self._snapshots.stop()
        self._store.close()
        log.info("webhooks_stopped")

    async def _watch_liveness(self) -> None:
        """A reader always has a next read to do; that the topic's end can be had says that the broker is there."""

        def look(_ends: Mapping[TopicPartition, int]) -> None:
            now = monotonic_seconds()
            self._liveness.observe_ends(dict.fromkeys(self._readers, sys.maxsize), now)
            self._liveness.observe_committed({name: one.reads for name, one in self._readers.items()}, now)

        await watch(self._settings, [TopicPartition(Topic.WEBHOOK_DELIVERIES.value, 0)], look)

    async def _check_snapshot(self) -> None:
        self._snapshots.current()

    def _record(self, change: StateChange) -> None:
        self._store.record(change, now_ms())

    async def _alert(self, row: AlertRow) -> None:
        partition = partition_for(row.app_id, row.rule_id, self._settings.partitions)
        await self._producer.put(Topic.ALERTS, partition, encode_row(row))
