"""A cluster of two shards says what one server says: every read of the API, files, alerts and the ledger.

The shards are one chDB (`clickhouse_over_chdb`), in a process of its own: planning and merging of distributed queries
are ClickHouse's, each shard sees its own rows. The folder's other tests run on such a cluster where
`ATTRIKIT_TEST_CLICKHOUSE_URL` and `ATTRIKIT_TEST_CLICKHOUSE_CLUSTER` name one.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from clickhouse_over_chdb import standing_in_process
from fastapi import FastAPI
from pydantic import SecretStr
from query_world import APP_GOALS, DAY_MS, DAYS, FIRST_MS, World, insert_world, rows_beside
from structlog.testing import capture_logs
from waiting import until

from pipeline.domain.alerts import Window
from pipeline.readmodel.alert_windows import measure, measured
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseRejected, migrate, migrate_or_look, plan
from pipeline.runtime.settings import Settings
from schemas.clickhouse import load_migrations
from schemas.clickhouse.cluster import SHARDING_KEYS
from schemas.control import AlertMetric, AlertRule, App, Comparison
from schemas.facts import (
    encode_rows,
)
from services.loader.app import Loader
from services.query.app import create_app
from services.query.exports.parameters import REPORTS, parse_export
from services.query.exports.statements import source_of
from services.query.operator.reader import ledger_counts, store_state

pytestmark = pytest.mark.timeout(300)
Connect = Callable[[FastAPI], httpx.AsyncClient]
APP = App("alpha", "alpha", goals=APP_GOALS)
_READABLE = {"at", "attributed_at", "converted_at", "restated_at", "stored_at_ms"}
VIEWS = {
    "sessions_by_person": ("sessions", "session_id"),
    "narrow_sessions": ("sessions", "session_hash"),
    "narrow_touches": ("touches", "touch_hash"),
    "attribution_revisions": ("attributions", "conversion_id"),
}
"""Tables that views fill, the tables they are filled from, and a column both have."""


@pytest.fixture(scope="module")
def cluster_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("shards")
    with standing_in_process(folder, shards=2) as url:
        cluster = {"clickhouse_url": url, "clickhouse_cluster": "main", "clickhouse_sharded": True}
        yield Settings(data_dir=folder, **cluster)


@pytest.fixture(scope="module")
def on_shards(cluster_settings: Settings) -> Iterator[ClickHouse]:
    opened = ClickHouse.open(cluster_settings)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def both(on_shards: ClickHouse, clickhouse_dir: Any, alpha: World) -> Iterator[tuple[ClickHouse, ClickHouse]]:
    """One server and the cluster, with the same rows."""
    alone = ClickHouse.open(Settings(data_dir=clickhouse_dir, database="beside_shards"))

    async def fill(clickhouse: ClickHouse) -> None:
        await migrate(clickhouse)
        await insert_world(clickhouse, alpha)
        for table, rows in rows_beside(alpha).items():
            await clickhouse.insert_ndjson(table, encode_rows(rows), token="once")
            await clickhouse.insert_ndjson(table, encode_rows(rows), token="once")

    for each in (alone, on_shards):
        asyncio.run(fill(each))
    yield alone, on_shards
    alone.close()


def _reads(world: World) -> dict[str, list[tuple[str, ...]]]:
    """Questions by path of the API: of each, the segments that fill its braces, then `name=value`s."""
    event, conversion = world.events[0], next(row for row in world.conversions if row.user_id)
    of_range = ("from=2024-01-05", "to=2024-01-25")
    named = [("event_name=purchase",), ("property.label=a\\b",), (f"session_id={world.sessions[2].session_id}",)]
    compared = (*of_range, "compare=previous_period", "model=linear")
    performance = [("dimension=channel",), ("dimension=source", "granularity=day"), ("dimension=campaign", *compared)]
    return {
        "alerts": [(), ("limit=2",), ("state=began",)],
        "events": [(), of_range, *named, (f"user_id={conversion.user_id}", "limit=5"), ("awaiting_order=true",)],
        "events/rejected": [(), ("field=user_id",)],
        "events/{}": [(event.event_id,), (conversion.event_id,)],
        "conversions": [(), of_range, ("channel=email",), (f"user_id={conversion.user_id}",), ("goal=purchase",)],
        "attribution": [
            ("dimension=channel",),
            ("dimension=campaign", *of_range),
            (f"conversion_id={conversion.conversion_id}",),
        ],
        "users": [(), of_range, ("limit=3",), ("include_bots=true",)],
        "users/{}": [(conversion.user_id,), ("visitor0",)],
        "users/{}/journey": [(conversion.user_id,), ("visitor0",)],
        "users/{}/events": [(conversion.user_id,)],
        "costs": [(), of_range],
        "reports/performance": performance,
        "reports/conversion": [(), ("steps=page_view,purchase",), (*of_range, "include_bots=true")],
        "webhooks/deliveries": [(), ("status=delivered",), ("limit=2",)],
        "webhooks/deliveries/{}": [("whd_1",), ("whd_2",)],
    }


async def test_every_read_says_what_it_says_on_one_server(
    both: tuple[ClickHouse, ClickHouse], alpha: World, connect: Connect, query_app: FastAPI, query_settings: Settings
) -> None:
    apps = [create_app(query_settings, each, query_app.state.snapshots) for each in both]
    asked = _reads(alpha)
    routes = [path.removeprefix("/v1/") for path, of in apps[0].openapi()["paths"].items() if "get" in of]
    assert {re.sub(r"{\w+}", "{}", route) for route in routes if "export" not in route} <= asked.keys()
    async with connect(apps[0]) as one, connect(apps[1]) as shards:
        for path, questions in asked.items():
            for question in questions:
                segments = [part for part in question if "=" not in part]
                given = dict(part.split("=", 1) for part in question if "=" in part)
                url, headers = f"/v1/{path.format(*segments)}", {"Authorization": "Bearer ak_test_alpha"}
                expected, found = [await client.get(url, params=given, headers=headers) for client in (one, shards)]
                assert expected.status_code == 200, (url, given, expected.text)
                assert _steady(found.json()) == _steady(expected.json()), (url, given)


def _steady(answer: Any) -> Any:
    """Leave out when rows could be read: that differs between two stores."""
    if isinstance(answer, dict):
        return {name: _steady(value) for name, value in answer.items() if name not in _READABLE}
    return [_steady(each) for each in answer] if isinstance(answer, list) else answer


async def test_files_alerts_and_the_ledger_say_what_they_say_on_one_server(both: tuple[ClickHouse, ClickHouse]) -> None:
    windows = [Window(FIRST_MS + day * DAY_MS, FIRST_MS + (day + 1) * DAY_MS) for day in range(DAYS)]
    rules = [AlertRule(f"r_{metric}", "alpha", "", metric, Comparison.ABOVE, 1.0, 86_400) for metric in AlertMetric]
    for rule in rules:
        expected, found = [await measure(each, rule, APP, windows) for each in both]
        assert found == expected, rule.metric
    one, shards = both
    assert await measured(shards, 3) == await measured(one, 3)
    books, found_books = [await ledger_counts(each, 4, 0, 2**61) for each in both]
    for name, rows in books.items():
        assert sorted(map(repr, found_books[name])) == sorted(map(repr, rows)), name
    assert books["stored"]
    assert books["duplicates"]
    for report, export in _exports().items():
        made = source_of(APP, export)
        for statement in (made.rows, made.count):
            rows_of_one = await one.query(statement.sql, statement.parameters)
            assert await shards.query(statement.sql, statement.parameters) == rows_of_one, report
            assert rows_of_one


def _exports() -> dict[str, Any]:
    """A file of each report that is read as it is."""
    read = [name for name in REPORTS if name != "performance"]
    return {name: parse_export(json.dumps({"report": name, "format": "jsonl"}).encode()) for name in read}


async def test_rows_lie_on_their_shards_and_views_find_them_there(
    both: tuple[ClickHouse, ClickHouse], alpha: World
) -> None:
    alone, shards = both
    for table in SHARDING_KEYS:
        sql = f"SELECT count() FROM {table} FINAL"
        expected, per_shard = await alone.query(sql), await shards.query(f"SELECT shardNum(), {sql[7:]} GROUP BY 1")
        assert sum(count for _, count in per_shard) == expected[0][0], table
        if expected[0][0] > 20:
            assert len(per_shard) == 2, table
    for view, (table, column) in VIEWS.items():
        given = column if column in ("session_id", "conversion_id") else f"sipHash64({column.replace('_hash', '_id')})"
        there = await shards.query(f"SELECT DISTINCT shardNum(), {given} FROM {table} FINAL")
        found = await shards.query(f"SELECT DISTINCT shardNum(), {column} FROM {view} FINAL")
        assert set(there) <= set(found), view


async def test_what_joins_shards_is_refused_without_the_settings_of_a_cluster(
    both: tuple[ClickHouse, ClickHouse],
) -> None:
    sql = "SELECT count() FROM events WHERE event_id IN (SELECT event_id FROM event_marks)"
    _, shards = both
    assert (await shards.query(sql))[0][0] > 0
    with pytest.raises(ClickHouseRejected, match="Double-distributed"):
        await shards.query(f"{sql} SETTINGS distributed_product_mode = 'deny'")


async def test_a_plan_has_every_migration_and_none_to_run(both: tuple[ClickHouse, ClickHouse]) -> None:
    _, shards = both
    assert [(each.number, each.statements) for each in await plan(shards)] == [
        (m.number, ()) for m in load_migrations()
    ]
    assert await migrate(shards) == []


async def test_the_doctor_sees_the_tables_of_all_servers(both: tuple[ClickHouse, ClickHouse]) -> None:
    _, shards = both
    state = await store_state(shards)
    assert {"events_local", "schema_migrations"} <= {table.table for table in state.tables}


async def test_a_loader_waits_for_the_tables_of_a_cluster_and_does_not_make_them(cluster_settings: Settings) -> None:
    """They are made under a lock that it cannot take: `attrikit migrate` does it."""
    url = f"{cluster_settings.clickhouse_url.get_secret_value()}/not_yet"
    settings = cluster_settings.model_copy(update={"clickhouse_url": SecretStr(url)})
    outside = cluster_settings.model_copy(update={"database": "default"})
    with closing(ClickHouse.open(settings)) as clickhouse, closing(ClickHouse.open(outside)) as beside:
        stop = asyncio.Event()
        with capture_logs() as logs:
            running = asyncio.create_task(Loader(settings, clickhouse).run(stop))
            await until(lambda: [line for line in logs if line["event"] == "waiting"], "the loader waits")
            stop.set()
            await running
        assert "migrations 0001, 0002" in str(logs)
        assert "run `attrikit migrate`" in str(logs)
        assert await beside.query("SELECT name FROM system.databases WHERE name = 'not_yet'") == []
        await migrate(clickhouse)
        await migrate_or_look(clickhouse)
