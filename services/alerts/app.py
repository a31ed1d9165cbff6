"""The alerts service: measures rules window by window. Stateless: it reads its state from the log at every start.

    Step 1  read all there is of `alert-windows` (what has expired there, from its table), and send the alerts its last
            rows brought about, if that was not done yet
    Step 2  measure the windows that have become complete, and append what they came to
    Step 3  read the log on to its end; what its rows bring about goes to `alerts`, acknowledged, before the next Step 2

A crash after Step 2 repeats Step 3 from the log; a crash before it measures again. Two processes may be at it: the log
has the first measure of each window, and both draw the same conclusions from it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter

from pipeline.control import SnapshotNotLoaded
from pipeline.readmodel.alert_windows import measure, measured
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseError
from pipeline.runtime.clock import now_ms, now_us
from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.producer import PackingProducer
from pipeline.runtime.kafka.read_range import read_range
from pipeline.runtime.lifecycle import run_until
from pipeline.runtime.log import get_logger
from pipeline.runtime.retry import Pauses, retry
from pipeline.runtime.topics import ensure_topics
from schemas.control import Snapshot
from schemas.facts import AlertRow, AlertWindowRow, encode_row
from schemas.ids import partition_for
from schemas.topics import Topic
from services.alerts.book import RuleBook, with_older
from services.alerts.requests import RequestsComplete

_ROUND_SECONDS: Final = 1.0
_PAUSES: Final = Pauses(2.0, 2.0)
_WINDOWS_A_ROUND: Final = 200
_KEPT_ROWS: Final = 500
"""Rows kept of each rule: more than an average needs. The time a rule began to hold can be found as far back as
this.
"""
Offsets = Mapping[TopicPartition, int]
_decode = msgspec.json.Decoder(AlertWindowRow).decode_lines
_WINDOWS: Final = Counter("attrikit_alerts_windows", "Windows measured")
_ALERTS: Final = Counter("attrikit_alerts_sent", "Alerts written, by what they say", ["state"])
_log = get_logger("alerts")


class Snapshots(Protocol):
    """Source of rules and apps: `pipeline.control.SnapshotSource`."""

    def current(self) -> Snapshot: ...


class Alerter:
    """`complete_through_ms`: the event time up to which the tables hold everything; None while that is unknown."""

    def __init__(
        self,
        settings: KafkaSettings,
        clickhouse: ClickHouse,
        snapshots: Snapshots,
        complete_through_ms: Callable[[], Awaitable[int | None]],
    ) -> None:
        self._settings = settings
        self._clickhouse = clickhouse
        self._snapshots = snapshots
        self._complete_through_ms = complete_through_ms
        self._is_judging = False

    async def missing(self) -> list[str]:
        """Name the parts that readiness waits for, in words."""
        return [] if self._is_judging else ["rules, tables or broker"]

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`. After an error it starts again from the log."""
        errors = (KafkaError, ClickHouseError, SnapshotNotLoaded, OSError)
        await run_until(stop, retry(self._work, errors, _log, "alerts_paused", pauses=_PAUSES))

    async def _work(self) -> None:
        await ensure_topics(self._settings)
        async with open_log(self._settings) as log:
            book = RuleBook(_KEPT_ROWS)
            requests = RequestsComplete(log.consumer, self._clickhouse, self._settings.partitions)
            # Step 1. Rules come after the rows: what is old is history, not news.
            logged = await log.read_on()
            book.hear(with_older(await measured(self._clickhouse, _KEPT_ROWS), logged))
            self._use_rules(book)
            await log.send_alerts(book.last_alerts())
            try:
                while True:
                    await self._round(book, log, requests)
                    self._is_judging = True
                    await asyncio.sleep(_ROUND_SECONDS)
            finally:
                self._is_judging = False

    async def _round(self, book: RuleBook, log: "AlertLog", requests: RequestsComplete) -> None:
        self._use_rules(book)
        if not book.has_rules:
            return
        through = {False: await self._complete_through_ms(), True: await requests.through_ms(now_ms())}
        # Step 2.
        rows = []
        for rule, app, found in book.due(through, _WINDOWS_A_ROUND):
            values = await measure(self._clickhouse, rule, app, found)
            at_us = now_us()
            rows += [
                AlertWindowRow(app.app_id, rule.rule_id, window.start_ms, window.end_ms, value, at_us)
                for window, value in zip(found, values, strict=True)
            ]
        await log.append(rows)
        _WINDOWS.inc(len(rows))
        # Step 3.
        await log.send_alerts(book.hear(await log.read_on()))

    def _use_rules(self, book: RuleBook) -> None:
        snapshot = self._snapshots.current()
        book.use(snapshot.alert_rules, snapshot.apps)


class AlertLog:
    """`alert-windows`, read by nobody's group from its beginning, and `alerts`, written."""

    def __init__(self, consumer: AIOKafkaConsumer, producer: PackingProducer, partitions: int, begins: Offsets) -> None:
        self.consumer = consumer
        self._producer = producer
        self._partitions = partitions
        self._read_to = dict(begins)

    async def read_on(self) -> list[AlertWindowRow]:
        """Read all new rows up to the present end. Rules keep to one partition each, so their rows are in order.
        Between two calls nothing is fetched.
        """
        ends = await self.consumer.end_offsets(list(self._read_to))
        ranges = {place: (begin, ends[place]) for place, begin in self._read_to.items()}
        rows: list[AlertWindowRow] = []
        async for _, records in read_range(self.consumer, ranges):
            for record in records:
                rows += _decode(record.value)
        self._read_to = ends
        return rows

    async def append(self, rows: list[AlertWindowRow]) -> None:
        """Append rows; returns when the broker has them."""
        await self._send(Topic.ALERT_WINDOWS, rows)

    async def send_alerts(self, alerts: list[AlertRow]) -> None:
        """Send alerts; returns when the broker has them."""
        await self._send(Topic.ALERTS, alerts)
        for alert in alerts:
            _ALERTS.labels(alert.state).inc()
            _log.info("alert", app_id=alert.app_id, rule=alert.rule_name, state=alert.state, value=alert.value)

    async def _send(self, topic: Topic, rows: Sequence[AlertWindowRow | AlertRow]) -> None:
        places = [partition_for(row.app_id, row.rule_id, self._partitions) for row in rows]
        puts = [self._producer.put(topic, at, encode_row(row)) for at, row in zip(places, rows, strict=True)]
        await asyncio.gather(*puts)


@asynccontextmanager
async def open_log(settings: KafkaSettings) -> AsyncIterator[AlertLog]:
    places = [TopicPartition(Topic.ALERT_WINDOWS.value, partition) for partition in range(settings.partitions)]
    producer = PackingProducer(settings, _log)
    try:
        async with started(build_consumer(settings)) as consumer:
            await producer.start()
            yield AlertLog(consumer, producer, settings.partitions, await consumer.beginning_offsets(places))
    finally:
        await producer.stop()
