"""The list of alerts, over a real engine."""

from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter
from query_world import SIGNING_KEY

from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.settings import Settings
from schemas.control import AlertMetric, ApiKey, App, Scope, Snapshot
from schemas.facts import AlertRow, encode_rows
from services.query.alerts.answers import AlertList
from services.query.alerts.parameters import ToldMetric
from services.query.app import create_app
from services.query.core.times import time_in_zone

HOUR_MS = 3_600_000
FIRST_MS = 1_705_276_800_000
METRICS = [*(metric.value for metric in AlertMetric), "webhook_failing"]


def row(number: int, app_id: str = "shop") -> AlertRow:
    at_ms = FIRST_MS + number // 2 * HOUR_MS
    return AlertRow(
        app_id=app_id,
        alert_id=f"alr_{number:03}",
        rule_id=f"rule_{number % 3}",
        rule_name="n",
        metric=METRICS[number % len(METRICS)],
        subject="",
        comparison="above",
        threshold=1.5,
        value=2.0,
        average=None if number % 2 else 1.0,
        unit="events",
        state="ended" if number % 2 else "began",
        window_start_ms=at_ms - HOUR_MS,
        window_end_ms=at_ms,
        began_at_ms=at_ms,
        fired_at_ms=at_ms + 5,
    )


ROWS = [row(number) for number in range(30)]
NEWEST_FIRST = sorted(ROWS, key=lambda row: (row.window_end_ms, row.alert_id), reverse=True)


class Plane:
    def note_use(self, key_id: str) -> None:
        """Nobody asks."""

    def current(self) -> Snapshot:
        digest = sha256(b"ak_test_shop").hexdigest()
        key = ApiKey("k1", "shop", digest, frozenset({Scope.READ}))
        return Snapshot({"shop": App("shop", "Shop")}, {digest: key}, 0, signing_key=SIGNING_KEY.hex())


@pytest.fixture
async def ask(
    clickhouse: ClickHouse, make_settings: Callable[..., Settings], connect: Callable[[FastAPI], httpx.AsyncClient]
) -> AsyncIterator[Callable[..., Any]]:
    # Each written twice, as a restart may: they are told once.
    await clickhouse.insert_ndjson("alerts", encode_rows([*ROWS, *(row(n, "other") for n in range(9))]))
    await clickhouse.insert_ndjson("alerts", encode_rows(ROWS))
    async with connect(create_app(make_settings(), clickhouse, Plane())) as client:

        async def get(**parameters: Any) -> Any:
            headers = {"Authorization": "Bearer ak_test_shop"}
            answer = await client.get("/v1/alerts", params=parameters, headers=headers)
            assert answer.status_code == 200, answer.text
            data = answer.json()["data"]
            TypeAdapter(AlertList).validate_python(data)
            return data

        yield get


def test_every_metric_of_a_rule_can_be_told() -> None:
    assert {metric.value for metric in AlertMetric} < {metric.value for metric in ToldMetric} == set(METRICS)


def ids(rows: list[AlertRow]) -> list[str]:
    return [row.alert_id for row in rows]


async def test_pages_hold_every_alert_of_the_app_once_and_newest_first(ask: Callable[..., Any]) -> None:
    found, cursor = [], None
    while True:
        page = await ask(limit=7, **({"cursor": cursor} if cursor else {}))
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [alert["alert_id"] for alert in found] == ids(NEWEST_FIRST)
    first, newest = found[0], NEWEST_FIRST[0]
    assert first["at"] == first["window_end"] == time_in_zone(newest.window_end_ms, "Asia/Shanghai")
    assert (first["value"], first["threshold"], first["average"], first["subject"]) == (2.0, 1.5, newest.average, None)


async def test_filters(ask: Callable[..., Any]) -> None:
    async def found(**parameters: Any) -> list[str]:
        return [alert["alert_id"] for alert in (await ask(**parameters))["items"]]

    assert await found(rule_id="rule_1") == ids([row for row in NEWEST_FIRST if row.rule_id == "rule_1"])
    assert await found(state="ended") == ids([row for row in NEWEST_FIRST if row.state == "ended"])
    wanted = ("webhook_failing", "api_latency")
    assert await found(metric=list(wanted)) == ids([row for row in NEWEST_FIRST if row.metric in wanted])
    edge_ms = FIRST_MS + 5 * HOUR_MS
    since = await found(
        **{"from": time_in_zone(edge_ms, "Asia/Shanghai"), "to": time_in_zone(edge_ms + HOUR_MS, "Asia/Shanghai")}
    )
    assert since == ids([row for row in NEWEST_FIRST if row.window_end_ms == edge_ms])
