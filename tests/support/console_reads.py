"""A console with the query service and the gateway behind it, over tables of their own."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec
from aiokafka import TopicPartition
from app_servers import AppServers
from console_world import OWN_APP, ConsoleWorld, make_console
from webhook_rows import attempt_row

from pipeline.control.audit import read_entries
from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.clock import now_ms
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.read_range import read_range
from pipeline.runtime.settings import Settings
from schemas.control import App
from schemas.events import AcceptedEvent
from schemas.facts import ConversionRow, CostRow, GatewayCountRow, PersonLinkRow, SessionRow, TouchRow, encode_rows
from schemas.topics import Topic
from schemas.webhooks import Outcome
from services.gateway.app import create_app as create_gateway
from services.query.app import create_app

ENDPOINT = "whe_known"
"""The endpoint whose deliveries are in the tables."""


@contextmanager
def console_with_reads(
    folder: Path, clickhouse_dir: Path, free_port: Callable[[], int], **given: Any
) -> Iterator[tuple[ConsoleWorld, ClickHouse]]:
    """`folder`: of the control plane; `given`: further settings."""
    port, gateway_port = free_port(), free_port()
    urls = {"query_url": f"http://127.0.0.1:{port}", "gateway_url": f"http://127.0.0.1:{gateway_port}"}
    settings = Settings(data_dir=folder, operator_token="op", **urls, **given)
    tables = ClickHouse.open(Settings(data_dir=clickhouse_dir, database=f"console_{uuid4().hex[:12]}"))
    asyncio.run(migrate(tables))
    servers = AppServers()
    servers.start()
    try:
        world = make_console(settings, servers)
        servers.serve(create_app(settings, tables), port=port)
        servers.serve(create_gateway(settings), port=gateway_port)
        yield world, tables
    finally:
        servers.stop()
        asyncio.run(tables.command(f"DROP DATABASE {tables.database}"))
        tables.close()


def entries_of(world: ConsoleWorld, action: str) -> list[Any]:
    """Entries of the log of changes, newest first."""
    return [one for one in read_entries(world.settings.control_plane_dsn()) if one["action"] == action]


def records_of(settings: Settings, topic: Topic) -> list[bytes]:
    """Everything a topic holds."""

    async def read() -> list[bytes]:
        places = [TopicPartition(topic.value, number) for number in range(settings.partitions)]
        async with started(build_consumer(settings)) as consumer:
            ends = await consumer.end_offsets(places)
            ranges = {place: (0, end) for place, end in ends.items()}
            return [one.value async for _, records in read_range(consumer, ranges) for one in records]

    return asyncio.run(read())


async def fill(tables: ClickHouse) -> None:
    """Purchases of 0 to 200, one by a bot, one unreadable; arrivals from a partner's page and from none; an hour in
    which all was refused; costs of three days with two gaps; a delivery that failed and one that did not.
    """
    now = now_ms()
    orders: list[Any] = [{"revenue": value} for value in (0, 50, 100, 150, 200)]
    orders += [{"revenue": 250, "order_id": "bot"}, {"revenue": 300, "currency": "XXXX"}]
    events = [_event(f"o{number}", now, "purchase", given) for number, given in enumerate(orders)]
    events[5].is_bot = True
    for number, referrer in enumerate(("https://news.partner.example/a", "")):
        view = _event(f"v{number}", now, "page_view", {})
        view.page_url, view.referrer = "https://shop.example/", referrer
        events.append(view)
    hour = 3_600_000
    counts = [
        GatewayCountRow(OWN_APP, "gateway", (now // hour - ago) * hour, 1, accepted=10 * ago, rejected=10 * (ago == 5))
        for ago in (3, 4, 5, 6)
    ]
    counts[2].accepted = 0
    today = datetime.fromtimestamp(now / 1000, ZoneInfo(App.timezone)).date()
    costs = [
        CostRow(OWN_APP, today - timedelta(days=ago), "paid_search", "brand", 1234, "CNY", now, now, "baidu")
        for ago in (6, 4, 1)
    ]
    attempts = [
        attempt_row(OWN_APP, "whd_1", ENDPOINT, 1, Outcome.FAILED),
        attempt_row(OWN_APP, "whd_2", ENDPOINT, 1, Outcome.DELIVERED),
    ]
    derived = _journey(now)
    rows = derived | {"events": events, "gateway_counts": counts, "spend": costs, "webhook_attempts": attempts}
    for table, some in rows.items():
        await tables.insert_ndjson(table, encode_rows(some))


def store_event(tables: ClickHouse, event: AcceptedEvent) -> None:
    asyncio.run(tables.insert_ndjson("events", encode_rows([event])))


def _journey(now: int) -> dict[str, list[Any]]:
    """The rows of a person who came by an ad, turned out to be a user, and bought."""
    place: dict[str, Any] = {"channel": "paid_search", "source": "baidu", "medium": "cpc", "campaign": "brand"}
    session = SessionRow(
        OWN_APP, "ses_g", "u:guest", "guest", "browser-g", now - 60_000, now, 2, 1, "https://shop.example/g", "",
        **place, conversions=1, values_minor={"CNY": 100}, is_bounce=False, is_closed=True, revision=1,
    )  # fmt: skip
    touch = TouchRow(
        "t_g", now - 60_000, "click", **place, app_id=OWN_APP, person_key="u:guest", session_id="ses_g", revision=1
    )
    bought = ConversionRow(
        "cnv_g", "purchase", "macro", "o_g", "u:guest", "guest", "browser-g", "ses_g", now, 100, "CNY", "", OWN_APP,
        ["t_g"], [now - 60_000], ["click"], ["paid_search"], ["baidu"], ["cpc"], ["brand"], revision=1,
    )  # fmt: skip
    link = PersonLinkRow(OWN_APP, "browser-g", "guest", now - 30_000, "o_g", is_owner=True)
    return {"sessions": [session], "touches": [touch], "conversions": [bought], "person_links": [link]}


def _event(event_id: str, now: int, name: str, properties: dict[str, Any]) -> AcceptedEvent:
    raw = msgspec.Raw(msgspec.json.encode(properties))
    return AcceptedEvent(OWN_APP, event_id, name, now - 60_000, now * 1000, "", "visitor", raw)
