"""The alerter over a real broker and real tables: what it writes, and that crashes and company change none of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from stream_worker import read_rows
from webhook_world import conversion_row

from deploy.local.broker import NoidaBroker
from pipeline.domain.alerts import Window
from pipeline.readmodel.alert_windows import measure
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.control import AlertMetric, AlertRule, App, Comparison, Goal, Snapshot
from schemas.events import AcceptedEvent, encode_event
from schemas.facts import LATENCY_BOUNDS_MS, GatewayCountRow, encode_rows
from schemas.topics import Topic
from services.alerts.app import Alerter

MINUTE_MS = 60_000
START_MS = 1_790_000_000_000 // MINUTE_MS * MINUTE_MS
APPS = {"shop": App("shop", "Shop"), "other": App("other", "Other")}
COUNTS = [3, 12, 15, 2, 30]
"""Events of each minute."""


def rule(rule_id: str, metric: AlertMetric, threshold: float, comparison: Comparison = Comparison.ABOVE) -> AlertRule:
    return AlertRule(rule_id, "shop", rule_id, metric, comparison, threshold, 60, 2, active_from_ms=START_MS)


RULES = (
    rule("many", AlertMetric.EVENTS, 10),
    rule("jump", AlertMetric.EVENTS, 50, Comparison.ABOVE_AVERAGE),
    rule("refused", AlertMetric.REJECTED_RATE, 20),
    rule("slow", AlertMetric.API_LATENCY, 500),
)


class World:
    """Inputs of the alerter: the rules, and how far the tables are complete."""

    def __init__(self, settings: Settings, clickhouse: ClickHouse) -> None:
        self.settings = settings
        self.clickhouse = clickhouse
        self.rules: tuple[AlertRule, ...] = RULES
        self.through_ms: int | None = None

    def current(self) -> Snapshot:
        return Snapshot(APPS, {}, 0, alert_rules=self.rules)

    async def complete_through_ms(self) -> int | None:
        return self.through_ms

    @asynccontextmanager
    async def alerter(self) -> AsyncIterator[asyncio.Task[None]]:
        stop = asyncio.Event()
        alerter = Alerter(self.settings, self.clickhouse, self, self.complete_through_ms)
        running = asyncio.create_task(alerter.run(stop))
        try:
            yield running
        finally:
            stop.set()
            with suppress(asyncio.CancelledError):
                await running

    async def alerts(self, topic: Topic = Topic.ALERTS) -> list[dict[str, Any]]:
        return await read_rows(self.settings, topic)

    async def until(self, condition: Callable[[list[dict[str, Any]]], bool], topic: Topic = Topic.ALERTS) -> None:
        async with asyncio.timeout(30):
            while not condition(await self.alerts(topic)):
                await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NoidaBroker]:
    folder = tmp_path_factory.mktemp("alerts-broker")
    process = NoidaBroker(folder / "data", folder / "broker.log")
    process.start()
    yield process
    process.kill()


async def fill(clickhouse: ClickHouse) -> None:
    events = [
        AcceptedEvent(app_id, f"e{minute}-{n}", "page_view", START_MS + minute * MINUTE_MS + n, 1)
        for app_id, factor in (("shop", 1), ("other", 50))
        for minute, count in enumerate(COUNTS)
        for n in range(count * factor)
    ]
    await clickhouse.insert_ndjson("events", b"\n".join(map(encode_event, events)))
    crawled = [
        AcceptedEvent("shop", f"bot{n}", "page_view", START_MS + n * MINUTE_MS // 100, 1, is_bot=True)
        for n in range(100 * len(COUNTS))
    ]
    await clickhouse.insert_ndjson("events", b"\n".join(map(encode_event, crawled)))
    # A repeat, not merged yet: it counts once.
    await clickhouse.insert_ndjson("events", encode_event(events[0]))
    latencies = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    slow = [*latencies[:7], 40, *latencies[8:]]
    rows = [
        GatewayCountRow("shop", "gw_1", START_MS, 2, accepted=3, rejected=1, requests=40, latency_counts=slow),
        GatewayCountRow("shop", "gw_1", START_MS, 1, accepted=3, rejected=0, requests=1, latency_counts=latencies),
        GatewayCountRow("shop", "gw_2", START_MS + MINUTE_MS, 1, accepted=9, rejected=0, latency_counts=latencies),
    ]
    await clickhouse.insert_ndjson("gateway_counts", encode_rows(rows))


async def forget_the_log(world: World) -> None:
    """Empty the log, as if its rows had expired, long after they were loaded."""
    rows = await world.alerts(Topic.ALERT_WINDOWS)
    await world.clickhouse.insert_ndjson("alert_windows", b"\n".join(map(msgspec.json.encode, rows)))
    places = [TopicPartition(Topic.ALERT_WINDOWS.value, p) for p in range(world.settings.partitions)]
    admin = AIOKafkaAdminClient(bootstrap_servers=world.settings.kafka_bootstrap)
    await admin.start()
    await admin.delete_records({place: RecordsToDelete(-1) for place in places})
    await admin.close()
    assert await world.alerts(Topic.ALERT_WINDOWS) == []


def told(rows: list[dict[str, Any]]) -> dict[str, list[tuple[str, int]]]:
    """Rule → (state, minute), each alert once by its id, in order."""
    found: dict[str, list[tuple[str, int]]] = {}
    for row in {row["alert_id"]: row for row in rows}.values():
        minute = (row["window_start_ms"] - START_MS) // MINUTE_MS
        found.setdefault(row["rule_id"], []).append((row["state"], minute))
    return {rule_id: sorted(alerts, key=lambda alert: alert[1]) for rule_id, alerts in found.items()}


EXPECTED = {
    "many": [("began", 1), ("ended", 3), ("began", 4)],
    "jump": [("began", 1), ("ended", 3), ("began", 4)],
    "refused": [("began", 0), ("ended", 1)],
    "slow": [("began", 0)],
}


async def test_rules_fire_once_when_they_begin_and_once_when_they_end_through_crashes_and_in_company(
    own_broker: NoidaBroker, clickhouse: ClickHouse, make_settings: Callable[..., Settings]
) -> None:
    world = World(make_settings(kafka_bootstrap=own_broker.bootstrap), clickhouse)
    await ensure_topics(world.settings)
    await fill(clickhouse)
    async with world.alerter():
        # Requests go by the wall clock, which has passed their windows; of events nothing is known to be complete.
        await world.until(lambda rows: len(told(rows).get("refused", [])) == 2 and "slow" in told(rows))
        assert set(told(await world.alerts())) == {"refused", "slow"}
        world.through_ms = START_MS + 2 * MINUTE_MS
        await world.until(lambda rows: told(rows).get("many") == EXPECTED["many"][:1])

    # Killed in the middle, two of them at once, late events: what was measured stays, the rest goes on.
    late = AcceptedEvent("shop", "late", "page_view", START_MS, 1)
    more = [AcceptedEvent("shop", f"late{n}", "page_view", START_MS + n, 1) for n in range(50)]
    await clickhouse.insert_ndjson("events", b"\n".join(map(encode_event, [late, *more])))
    async with world.alerter() as first, world.alerter():
        world.through_ms = START_MS + 4 * MINUTE_MS
        await world.until(lambda rows: told(rows).get("many") == EXPECTED["many"][:2])
        first.cancel()
        world.through_ms = START_MS + 5 * MINUTE_MS + 1
        await world.until(lambda rows: told(rows) == EXPECTED)
    async with world.alerter():
        world.through_ms = START_MS + 6 * MINUTE_MS
        await world.until(lambda rows: told(rows).get("many", [])[-1] == ("ended", 5))
    await forget_the_log(world)
    before = len(await world.alerts(Topic.ALERT_WINDOWS))
    async with world.alerter():
        world.through_ms = START_MS + 8 * MINUTE_MS
        await world.until(lambda rows: len(rows) >= before + 4, Topic.ALERT_WINDOWS)
    measured = await world.alerts(Topic.ALERT_WINDOWS)
    assert min(row["window_start_ms"] for row in measured) == START_MS + 6 * MINUTE_MS, "nothing is measured again"
    rows = await world.alerts()
    by_id: dict[str, dict[str, Any]] = {}
    for row in rows:
        assert by_id.setdefault(row["alert_id"], row) == row, "one id, one content"
    assert all(row["app_id"] == "shop" for row in rows)
    (slow,) = [row for row in by_id.values() if row["rule_id"] == "slow"]
    assert (slow["value"], slow["unit"], slow["threshold"]) == (975, "ms", 500)


@pytest.mark.parametrize(("subject", "count", "value"), [("", 2, 300), ("purchase", 1, 100), ("lead", 1, 7)])
async def test_conversions_are_counted_as_reports_count_them(
    clickhouse: ClickHouse, subject: str, count: float, value: float
) -> None:
    """Macro goals in the app's currency, unless one goal is asked for; retired micro goals are none of them."""
    app = App(f"counted-{subject}", "", goals=(Goal("lead", "", "micro", "lead"),), retired_micro_goals=("old",))
    goals = [
        ("purchase", 100, "CNY"),
        ("signup", 200, "CNY"),
        ("lead", 7, "CNY"),
        ("old", 9, "CNY"),
        ("purchase", 1, "USD"),
    ]
    rows = [
        conversion_row(app.app_id, n, goal=goal, value_minor=100 * amount, currency=currency, converted_at_ms=n)
        for n, (goal, amount, currency) in enumerate(goals)
    ]
    await clickhouse.insert_ndjson("conversions", encode_rows(rows))
    windows = [Window(0, MINUTE_MS)]
    for metric, expected in ((AlertMetric.CONVERSIONS, count), (AlertMetric.VALUE, value)):
        asked = AlertRule("r", app.app_id, "", metric, Comparison.ABOVE, 1, 60, subject=subject)
        assert await measure(clickhouse, asked, app, windows) == [expected]
