"""The list of what was refused, over a real engine."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import TypeAdapter

from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.settings import Settings
from schemas.facts import RejectedRow, encode_rows
from services.query.app import create_app
from services.query.core.times import time_in_zone
from services.query.rejected.answers import RejectedList

SECOND_MS = 1_000
FIRST_MS = 1_705_276_800_000
"""2024-01-15T00:00:00Z"""
CODES = ("INVALID_EVENT_NAME", "INVALID_PARAMETER", "MISSING_REQUIRED_FIELD")
FIELDS = ("event_name", "events[0].event_name", "events[12].context.ip", "context.ip", "events[3]", "", "body")


def row(number: int, app_id: str = "alpha") -> RejectedRow:
    return RejectedRow(
        app_id=app_id,
        reject_id=f"rej_{app_id}_{number:04}",
        rejected_at_ms=FIRST_MS + number // 3 * SECOND_MS,
        stage="gateway",
        code=CODES[number % len(CODES)],
        field=FIELDS[number % len(FIELDS)],
        reason="because",
        payload='{"event_name":"A b"}',
        key_id="key_1",
    )


ROWS = [row(number) for number in range(60)]
NEWEST_FIRST = sorted(ROWS, key=lambda one: (one.rejected_at_ms, one.reject_id), reverse=True)


@pytest.fixture
async def listed(clickhouse: ClickHouse, query_app: Any, connect: Any, make_settings: Any) -> AsyncIterator[Any]:
    """`listed(code=…)` → `data` of the answer to alpha's key."""
    settings: Settings = make_settings()
    app = create_app(settings, clickhouse, query_app.state.snapshots)
    others = [row(number, "beta") for number in range(5)]
    again = [msgspec.structs.replace(one) for one in ROWS[:5]]
    for rows in (ROWS, others, again):
        await clickhouse.insert_ndjson("rejected", encode_rows(rows))

    async def ask(key: str = "ak_test_alpha", **parameters: Any) -> Any:
        named = {name.rstrip("_"): value for name, value in parameters.items() if value is not None}
        client: httpx.AsyncClient
        async with connect(app) as client:
            answer = await client.get("/v1/events/rejected", params=named, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200, answer.text
        data = answer.json()["data"]
        TypeAdapter(RejectedList).validate_python(data, extra="forbid")
        return data

    return ask


def ids(data: Any) -> list[str]:
    return [item["reject_id"] for item in data["items"]]


async def test_all_of_an_apps_own_newest_first_each_once(listed: Any) -> None:
    data = await listed(limit=1000)
    assert ids(data) == [one.reject_id for one in NEWEST_FIRST]
    assert data["items"][0] == {
        "reject_id": NEWEST_FIRST[0].reject_id,
        "rejected_at": time_in_zone(NEWEST_FIRST[0].rejected_at_ms, "Asia/Shanghai"),
        "stage": "gateway",
        "code": NEWEST_FIRST[0].code,
        "field": NEWEST_FIRST[0].field or None,
        "reason": "because",
        "payload": '{"event_name":"A b"}',
        "is_cut": False,
        "key_id": "key_1",
    }
    assert len(ids(await listed("ak_test_beta"))) == 5
    assert ids(await listed("ak_test_empty")) == []

    walked: list[str] = []
    cursor = None
    while True:
        page = await listed(limit=7, cursor=cursor)
        walked += ids(page)
        if (cursor := page["next_cursor"]) is None:
            break
    assert walked == [one.reject_id for one in NEWEST_FIRST]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"code": "INVALID_PARAMETER"}, lambda one: one.code == "INVALID_PARAMETER"),
        ({"code": list(CODES[:2])}, lambda one: one.code in CODES[:2]),
        ({"code": "NOT_FOUND"}, lambda _: False),
        ({"field": "event_name"}, lambda one: one.field in FIELDS[:2]),
        ({"field": "context.ip"}, lambda one: one.field in FIELDS[2:4]),
        ({"field": "body"}, lambda one: one.field == "body"),
        ({"field": "events[3]"}, lambda _: False),
        ({"from_": "2024-01-15T00:00:05Z"}, lambda one: one.rejected_at_ms >= FIRST_MS + 5 * SECOND_MS),
        ({"to": "2024-01-15T00:00:05Z"}, lambda one: one.rejected_at_ms < FIRST_MS + 5 * SECOND_MS),
        ({"from_": "2024-01-15", "to": "2024-01-15", "tz": "UTC"}, lambda _: True),
        ({"to": "2024-01-14", "tz": "UTC"}, lambda _: False),
        ({"to": "2024-01-14", "tz": "America/New_York"}, lambda _: True),
        ({"code": CODES[0], "field": "event_name"}, lambda one: one.code == CODES[0] and one.field in FIELDS[:2]),
    ],
)
async def test_every_filter(listed: Any, asked: dict[str, Any], wanted: Any) -> None:
    assert ids(await listed(limit=1000, **asked)) == [one.reject_id for one in NEWEST_FIRST if wanted(one)]
