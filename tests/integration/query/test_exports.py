"""Files: what is in them, who gets them, what becomes of jobs when things go wrong."""

import csv
import io
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars
import pytest
from export_world import ask, ended, fetch, rows_of
from query_world import MICRO_GOAL, World

from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.settings import Settings
from schemas.facts import Model, encode_rows
from schemas.money import from_minor
from services.query.core.times import parse_instant
from services.query.exports import parameters

Export = Callable[..., Awaitable[dict[str, Any]]]

FORMATS = [(name, how) for name in ("csv", "jsonl", "parquet") for how in ("none", "gzip", "zstd")]


@pytest.mark.parametrize("report", parameters.REPORTS)
async def test_every_report_in_every_format(running: Any, alpha: World, report: str) -> None:
    client = await running()
    made = [await ask(client, report, format=name, compression=how) for name, how in FORMATS]
    counts = set()
    for (file_format, compression), asked in zip(FORMATS, made, strict=True):
        job = await ended(client, asked["job_id"])
        assert job["state"] == "done", job
        rows = rows_of(await fetch(client, job), file_format, compression)
        assert job["progress"]["rows_done"] == job["progress"]["rows_total"] == len(rows)
        counts.add(len(rows))
    wanted = {
        "events": len(alpha.events),
        "sessions": len(alpha.sessions),
        "touches": len(alpha.touches),
        "conversions": len(alpha.conversions),
        "attribution": sum(len(row.touch_ids) for row in alpha.attributions),
        "users": len({row.person_key for row in alpha.sessions}),
    }
    assert counts == {wanted.get(report, max(counts))}


async def test_events_are_whole(running: Any, alpha: World) -> None:
    client = await running()
    filters = {"event_name": ["purchase", "search"], "from": "2024-01-05", "properties": {"label": "a\\b"}}
    job = await ended(client, (await ask(client, "events", filters=filters))["job_id"])
    rows = rows_of(await fetch(client, job), "jsonl", "none")
    same = {"event_name": ["purchase", "search"], "from": "2024-01-05", "limit": 1000, "property.label": "a\\b"}
    listed = await client.get("/v1/events", params=same)
    items = json.loads(listed.content, parse_float=Decimal)["data"]["items"]
    assert rows
    assert [row["event_id"] for row in rows] == [item["event_id"] for item in reversed(items)]
    for row, item in zip(rows, reversed(items), strict=True):
        assert row["properties"] == item["properties"]
        assert parse_instant(row["timestamp"]) == parse_instant(item["timestamp"])
        assert (row["user_id"] or None) == item["user_id"]


async def test_users_have_the_values_of_the_list(running: Any, alpha: World, facts: ClickHouse) -> None:
    client = await running()
    refunded = next(row for row in alpha.conversions if row.value_minor > 100 and not row.is_deleted)
    refunded = msgspec.structs.replace(refunded, refunded_minor=100, revision=refunded.revision + 1_000)
    await facts.insert_ndjson("conversions", encode_rows([refunded]))
    listed = await client.get("/v1/users", params={"limit": 1000})
    items = json.loads(listed.content, parse_float=Decimal)["data"]["items"]
    wanted = {(item["id"], item["user_id"] is not None): item["values"] for item in items}
    assert any(len(values) > 1 for values in wanted.values()), "several currencies"
    for file_format in ("jsonl", "csv", "parquet"):
        job = await ended(client, (await ask(client, "users", format=file_format))["job_id"])
        rows = rows_of(await fetch(client, job), file_format, "none")
        found = {
            (row["id"], row["is_known"] in (True, "true")): row["values"]
            if file_format == "jsonl"
            else json.loads(row["values"], parse_float=Decimal)
            for row in rows
        }
        assert found == wanted
    restored = msgspec.structs.replace(refunded, refunded_minor=0, revision=refunded.revision + 1)
    await facts.insert_ndjson("conversions", encode_rows([restored]))


async def test_parquet_opens_with_proper_types_and_equal_sums(
    running: Any, facts: ClickHouse, tmp_path: Path, export_settings: Settings
) -> None:
    client = await running()
    job = await ended(client, (await ask(client, "attribution", format="parquet", compression="zstd"))["job_id"])
    path = tmp_path / "attribution.parquet"
    path.write_bytes(await fetch(client, job))
    frame = polars.read_parquet(path)
    assert frame.schema["converted_at"] == polars.Datetime("ms", "UTC")
    assert frame.schema["credit_linear"] == polars.Decimal(18, 9)
    assert frame.schema["value_linear"] == polars.Decimal(38, 13)
    report = json.loads((await client.get("/v1/attribution")).content, parse_float=Decimal)["data"]
    counted = frame.filter((polars.col("currency") == "CNY") & (polars.col("goal") != MICRO_GOAL))
    for model in Model:
        for item in report["items"]:
            of_channel = counted.filter(polars.col("channel") == item["key"])
            credited = item["models"][model]
            assert abs(of_channel[f"credit_{model}"].sum() - credited["credited_conversions"]) < Decimal("0.000001")
            assert abs(of_channel[f"value_{model}"].sum() - credited["credited_value"]) < Decimal("0.01")
    if export_settings.clickhouse_url:
        return  # a server reads no files of ours
    described = await facts.query(f"DESCRIBE file('{path}', 'Parquet')")
    types = {row[0]: row[1] for row in described}
    assert types["converted_at"] == "Nullable(DateTime64(3, 'UTC'))"
    assert types["value_linear"] == "Nullable(Decimal(38, 13))"
    sql = f"SELECT sum(value_linear) FROM file('{path}', 'Parquet') WHERE currency = 'CNY' AND goal != '{MICRO_GOAL}'"
    [(total,)] = await facts.query(sql)
    assert total == report["totals"]["models"]["linear"]["credited_value"]


async def test_conversions_in_every_currency(running: Any, alpha: World) -> None:
    client = await running()
    job = await ended(client, (await ask(client, "conversions", format="parquet"))["job_id"])
    rows = {row["conversion_id"]: row for row in rows_of(await fetch(client, job), "parquet", "none")}
    for conversion in alpha.conversions:
        row = rows[conversion.conversion_id]
        assert row["value"] == from_minor(conversion.value_minor - conversion.refunded_minor, conversion.currency)
        assert row["path_channels"] == conversion.path_channels


@pytest.mark.parametrize(
    ("narrowed", "count"), [({"dimension": "source"}, 10), ({"dimension": "content", "campaign": "brand"}, 3)]
)
async def test_performance_is_what_the_report_says(running: Any, narrowed: dict[str, str], count: int) -> None:
    client = await running()
    filters = {"granularity": "week", "model": ["linear"], "goal": ["purchase"], **narrowed}
    job = await ended(client, (await ask(client, "performance", filters=filters))["job_id"])
    rows = rows_of(await fetch(client, job), "jsonl", "none")
    answer = await client.get("/v1/reports/performance", params=filters)
    items = json.loads(answer.content, parse_float=Decimal)["data"]["items"]
    assert len(rows) == len(items) > count
    for row, item in zip(rows, items, strict=True):
        assert (row["period"], row["key"], row["sessions"]) == (item["period"], item["key"], item["sessions"])
        assert row["credited_value_linear"] == item["models"]["linear"]["credited_value"]


async def test_performance_with_the_period_before(running: Any) -> None:
    client = await running()
    filters = {"from": "2024-01-15", "to": "2024-01-21", "granularity": "day", "model": ["linear"]}
    filters |= {"compare": "previous_period", "currency": "USD", "tz": "UTC"}
    answer = await client.get("/v1/reports/performance", params=filters)
    report = json.loads(answer.content, parse_float=Decimal)["data"]
    for file_format in ("jsonl", "csv"):
        job = await ended(client, (await ask(client, "performance", format=file_format, filters=filters))["job_id"])
        rows = rows_of(await fetch(client, job), file_format, "none")
        now = [row for row in rows if row["is_previous"] in (False, "false")]
        before = rows[len(now) :]
        for found, items in ((now, report["items"]), (before, report["previous"]["items"])):
            assert found
            assert [(row["period"], row["key"]) for row in found] == [(item["period"], item["key"]) for item in items]
            for row, item in zip(found, items, strict=True):
                assert Decimal(row["value"]) == item["value"]
                change = item["change"] and item["change"]["sessions"]
                assert (Decimal(row["sessions_change"]) if row["sessions_change"] not in ("", None) else None) == change


LISTED = [
    ("conversions", "conversion_id", {"min_value": 150.5}),
    ("conversions", "conversion_id", {"currency": "USD", "min_value": 20, "from": "2024-01-10", "tz": "UTC"}),
    ("conversions", "conversion_id", {"goal": ["purchase", "user_signup"], "currency": "JPY"}),
    ("events", "event_id", {"session_id": None}),
    ("events", "event_id", {"session_id": None, "event_name": ["page_view"]}),
    ("events", "event_id", {"session_id": "ses_of_nobody"}),
]


@pytest.mark.parametrize(("report", "name", "filters"), LISTED, ids=str)
async def test_a_file_has_what_the_list_has(
    running: Any, alpha: World, report: str, name: str, filters: dict[str, Any]
) -> None:
    client = await running()
    if filters.get("session_id", "") is None:
        longest = max(alpha.sessions, key=lambda session: session.events)
        filters = filters | {"session_id": longest.session_id}
    job = await ended(client, (await ask(client, report, filters=filters))["job_id"])
    rows = rows_of(await fetch(client, job), "jsonl", "none")
    listed, cursor = [], ""
    while cursor is not None:
        params = filters | {"limit": 1000} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(f"/v1/{report}", params=params)).json()["data"]
        listed, cursor = listed + page["items"], page["next_cursor"]
    assert [row[name] for row in rows] == [item[name] for item in reversed(listed)]
    assert bool(rows) is (filters.get("session_id") != "ses_of_nobody")
    assert {name: job["filters"][name] for name in filters} == filters


async def test_attribution_of_some_conversions(running: Any, alpha: World) -> None:
    client = await running()
    filters = {"currency": "USD", "model": ["linear", "last_click"], "goal": ["purchase"]}
    job = await ended(client, (await ask(client, "attribution", filters=filters))["job_id"])
    rows = rows_of(await fetch(client, job), "jsonl", "none")
    wanted = {row.conversion_id for row in alpha.attributions if (row.currency, row.goal) == ("USD", "purchase")}
    assert {row["conversion_id"] for row in rows} == wanted != set()
    assert [name for name in rows[0] if name.startswith("credit_")] == ["credit_last_click", "credit_linear"]
    one = {"conversion_id": rows[0]["conversion_id"]}
    job = await ended(client, (await ask(client, "attribution", filters=one))["job_id"])
    assert {row["conversion_id"] for row in rows_of(await fetch(client, job), "jsonl", "none")} == {*one.values()}


async def test_a_file_for_a_spreadsheet(running: Callable[..., Any], facts: ClickHouse, alpha: World) -> None:
    """A campaign that is a formula, a touch that gets nothing, and a time that is another day in Shanghai."""
    client = await running()
    row = next(row for row in alpha.attributions if len(row.touch_ids) > 1)
    at_ms = 1_704_063_600_123  # 2023-12-31T23:00:00.123Z
    credits = {model: [0] * (len(nanos) - 1) + [10**9] for model, nanos in row.credits_nanos.items()}
    campaigns = ["=1+1"] * len(row.campaigns)
    row = msgspec.structs.replace(
        row, app_id="empty", converted_at_ms=at_ms, campaigns=campaigns, credits_nanos=credits
    )
    await facts.insert_ndjson("attributions", encode_rows([row]))
    client.headers["Authorization"] = "Bearer ak_test_empty"

    async def first(**more: Any) -> tuple[bytes, dict[str, Any]]:
        filters = {"conversion_id": row.conversion_id} | more.pop("filters", {})
        job = await ended(client, (await ask(client, "attribution", format="csv", filters=filters, **more))["job_id"])
        assert job["spreadsheet"] is more.get("spreadsheet", False)
        content = await fetch(client, job)
        return content, next(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))

    content, found = await first(spreadsheet=True)
    assert content.startswith(b"\xef\xbb\xbf")
    assert (found["campaign"], found["converted_at"]) == ("'=1+1", "2024-01-01 07:00:00")
    assert (found["credit_linear"], found["value_linear"]) == ("0", "0")
    _, found = await first(spreadsheet=True, filters={"tz": "America/New_York"})
    assert found["converted_at"] == "2023-12-31 18:00:00"
    content, found = await first()
    assert content.startswith(b'"conversion_id"')
    assert (found["campaign"], found["converted_at"]) == ("=1+1", "2023-12-31 23:00:00.123Z")
    assert (found["credit_linear"], found["value_linear"]) == ("0", "0")
    gone = msgspec.structs.replace(row, revision=row.revision + 1, is_deleted=True)
    await facts.insert_ndjson("attributions", encode_rows([gone]))


HOSTILE = "') OR 1 = 1; DROP TABLE events; -- {app_id:String}"


async def test_filters_are_data(running: Any, alpha: World) -> None:
    client = await running()
    for filters in (
        {"user_id": HOSTILE},
        {"anonymous_id": HOSTILE},
        {"properties": {HOSTILE: "x"}},
        {"properties": {"label": HOSTILE}},
    ):
        job = await ended(client, (await ask(client, "events", filters=filters))["job_id"])
        assert (job["state"], job["progress"]["rows_done"]) == ("done", 0)
    job = await ended(client, (await ask(client, "events"))["job_id"])
    assert job["progress"]["rows_done"] == len(alpha.events)


BAD_BODIES: list[tuple[bytes, str, str]] = [
    (b"", "INVALID_PARAMETER", "body"),
    (b"[]", "INVALID_PARAMETER", "body"),
    (b"{}", "MISSING_REQUIRED_FIELD", "report"),
    (b'{"report":"events"}', "MISSING_REQUIRED_FIELD", "format"),
    (b'{"report":"all","format":"csv"}', "INVALID_PARAMETER", "report"),
    (b'{"report":"events","format":"xlsx"}', "INVALID_PARAMETER", "format"),
    (b'{"report":"events","format":"csv","filters":{"from":"now"}}', "INVALID_PARAMETER", "filters.from"),
    (b'{"report":"performance","format":"csv","filters":{"tz":"x"}}', "INVALID_PARAMETER", "filters.tz"),
    (b'{"report":"users","format":"csv","filters":{"goal":["a"]}}', "INVALID_PARAMETER", "filters.goal"),
    (b'{"report":"users","format":"csv","compression":"rar"}', "INVALID_PARAMETER", "compression"),
    (b'{"report":"users","format":"jsonl","spreadsheet":true}', "INVALID_PARAMETER", "spreadsheet"),
    (b'{"report":"users","format":"csv","spreadsheet":1}', "INVALID_PARAMETER", "spreadsheet"),
    (b'{"report":"conversions","format":"csv","filters":{"min_value":-1}}', "INVALID_PARAMETER", "filters.min_value"),
    (
        b'{"report":"performance","format":"csv","filters":{"compare":"previous_period"}}',
        "INVALID_PARAMETER",
        "filters.compare",
    ),
    (b" " * 65537, "PAYLOAD_TOO_LARGE", "body"),
]


@pytest.mark.parametrize(("body", "code", "field"), BAD_BODIES, ids=lambda value: str(value)[:30])
async def test_bad_requests_are_told_at_once(running: Any, body: bytes, code: str, field: str) -> None:
    client = await running()
    answer = await client.post("/v1/reports/export", content=body, headers={"Accept-Language": "en"})
    error = answer.json()["error"]
    assert (error["code"], error["details"]["field"]) == (code, field)
    assert error["details"].get("reason", "").isascii()


async def test_a_value_that_is_not_known_is_no_number(
    running: Callable[..., Any], facts: ClickHouse, alpha: World
) -> None:
    client = await running()
    changes = {"app_id": "empty", "value_minor": 0, "value_issue": "unreadable_value"}
    conversion = msgspec.structs.replace(alpha.conversions[0], refunded_minor=0, **changes)
    attribution = msgspec.structs.replace(alpha.attributions[0], **changes)
    for table, row in (("conversions", conversion), ("attributions", attribution)):
        await facts.insert_ndjson(table, encode_rows([row]))
    client.headers["Authorization"] = "Bearer ak_test_empty"
    for file_format, nothing in (("csv", ""), ("jsonl", None), ("parquet", None)):
        for report, name in (("conversions", "value"), ("attribution", "value_linear")):
            job = await ended(client, (await ask(client, report, format=file_format))["job_id"])
            found = rows_of(await fetch(client, job), file_format, "none")
            ours = [row for row in found if row["conversion_id"] == conversion.conversion_id]
            assert {(row[name], row["value_issue"]) for row in ours} == {(nothing, "unreadable_value")}
    for table, row in (("conversions", conversion), ("attributions", attribution)):
        gone = msgspec.structs.replace(row, revision=row.revision + 1, is_deleted=True)
        await facts.insert_ndjson(table, encode_rows([gone]))
