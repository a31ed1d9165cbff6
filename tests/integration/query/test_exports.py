"""Files: what is in them, who gets them, what becomes of jobs when things go wrong."""

import asyncio
import csv
import gzip
import io
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import polars
import pytest
from backports import zstd
from fastapi import FastAPI
from query_world import APP_GOALS, MICRO_GOAL, World

from pipeline.runtime.clickhouse import ByteStream, ClickHouse
from pipeline.runtime.control_plane import ControlPlane, migrate_control_plane
from pipeline.runtime.control_plane.exports import ExportJob, ExportJobs, ExportState
from pipeline.runtime.settings import Settings
from schemas.control import App, Plan
from schemas.facts import Model, encode_rows
from schemas.money import from_minor
from services.query.app import create_app
from services.query.exports import jobs, requests
from services.query.times import parse_instant

READ = {"Authorization": "Bearer ak_test_alpha"}
Export = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(scope="module")
def export_settings(query_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A control plane and a storage of their own beside the shared facts."""
    folder = tmp_path_factory.mktemp("exports")
    dsn = f"sqlite:///{folder}/control.db"
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    for name in ("alpha", "beta", "empty"):
        store.create_app(App(name, name, goals=APP_GOALS), 1)
    store.close()
    return query_settings.model_copy(update={"control_plane_url": dsn, "export_url": (folder / "files").as_uri()})


@pytest.fixture
async def running(
    export_settings: Settings, facts: ClickHouse, query_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    """Starts a query service, with a client; `**changes` to the settings."""
    monkeypatch.setattr(jobs, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(jobs, "_RENEW_SECONDS", 0.05)
    (Path(urlsplit(export_settings.export_url).path)).mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> httpx.AsyncClient:
            settings = export_settings.model_copy(update=changes)
            app = create_app(settings, facts, query_app.state.snapshots)
            return await stack.enter_async_context(_served(app))

        yield start


@asynccontextmanager
async def _served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://query", headers=READ) as client:
            yield client


async def ended(client: httpx.AsyncClient, job_id: str, *states: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            job: dict[str, Any] = (await client.get(f"/v1/reports/export/{job_id}")).json()["data"]
            if job["state"] in (states or ("done", "failed", "cancelled", "expired")):
                return job
            await asyncio.sleep(0.02)


async def ask(client: httpx.AsyncClient, report: str, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/reports/export", json={"report": report, "format": "jsonl"} | more)
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()["data"]
    return job


async def fetch(client: httpx.AsyncClient, job: dict[str, Any]) -> bytes:
    """Without a key."""
    async with httpx.AsyncClient(transport=client._transport, base_url="http://query") as stranger:
        answer = await stranger.get(job["download_url"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="{job["file_name"]}"'
    assert int(answer.headers["content-length"]) == len(answer.content) == job["progress"]["bytes_written"]
    return answer.content


def rows_of(content: bytes, file_format: str, compression: str) -> list[dict[str, Any]]:
    if file_format == "parquet":
        return polars.read_parquet(io.BytesIO(content)).to_dicts()
    plain = {"gzip": gzip.decompress, "zstd": zstd.decompress, "none": bytes}[compression](content)
    if file_format == "csv":
        return list(csv.DictReader(io.StringIO(plain.decode(), newline="")))
    return [json.loads(line, parse_float=Decimal) for line in plain.splitlines()]


FORMATS = [(name, how) for name in ("csv", "jsonl", "parquet") for how in ("none", "gzip", "zstd")]


@pytest.mark.parametrize("report", requests.REPORTS)
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


async def test_performance_is_what_the_report_says(running: Any) -> None:
    client = await running()
    filters = {"granularity": "week", "model": ["linear"], "dimension": "source", "goal": ["purchase"]}
    job = await ended(client, (await ask(client, "performance", filters=filters))["job_id"])
    rows = rows_of(await fetch(client, job), "jsonl", "none")
    answer = await client.get("/v1/reports/performance", params=filters)
    items = json.loads(answer.content, parse_float=Decimal)["data"]["items"]
    assert len(rows) == len(items) > 10
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


async def test_nobody_else_sees_a_job(running: Any) -> None:
    client = await running()
    job = await ask(client, "events")
    for method in ("GET", "DELETE"):
        answer = await client.request(
            method, f"/v1/reports/export/{job['job_id']}", headers={"Authorization": "Bearer ak_test_beta"}
        )
        assert answer.status_code == 404
    assert (await ended(client, job["job_id"]))["state"] == "done"


async def test_a_link_is_the_permission(running: Any) -> None:
    client = await running()
    job = await ended(client, (await ask(client, "users"))["job_id"])
    other = await ended(client, (await ask(client, "users"))["job_id"])
    path, query = urlsplit(job["download_url"]).path, parse_qs(urlsplit(job["download_url"]).query)
    expires, signature = query["expires"][0], query["signature"][0]
    wrong = [
        (path, expires, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
        (path, str(int(expires) + 1), signature),
        (path.replace(job["job_id"], other["job_id"]), expires, signature),
        (path, expires, ""),
        (path, expires, "é"),
    ]
    for at, until, signed in wrong:
        answer = await client.get(at, params={"expires": until, "signature": signed})
        assert answer.status_code == 403, answer.text
        assert answer.json()["error"]["details"].keys() == {"reason"}
    assert (await client.get(path)).status_code == 400


async def test_a_file_goes_when_its_time_is_over(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_SWEEP_SECONDS", 0.05)
    client = await running(export_file_hours=1 / 3600)
    job = await ended(client, (await ask(client, "users"))["job_id"], "done")
    over = await ended(client, job["job_id"], "expired")
    assert over["download_url"] is None
    assert (await client.get(job["download_url"])).status_code in (403, 404)


async def test_a_job_of_a_killed_process_is_done_by_the_next(running: Any, export_settings: Settings) -> None:
    dead = ExportJobs(export_settings.control_plane_dsn())
    client = await running()
    await client.get("/v1/reports/export/exp_" + "0" * 24)  # it runs
    job = ExportJob("exp_" + "d" * 24, "alpha", ExportState.QUEUED, {
        "report": "users", "format": "csv", "compression": "none", "filters": {}
    }, 1, file_name="attrikit-dead.csv")  # fmt: skip
    # As a kill leaves it: begun, and nobody renews the lease.
    with dead._writer.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO export_jobs (job_id, app_id, state, request, created_at_ms, file_name, owner, lease_until_ms,"
            " attempts, rows_done) VALUES (?, ?, 'running', ?, 1, ?, 'dead', 5, 1, 3)",
            (job.job_id, job.app_id, json.dumps(job.request), job.file_name),
        )
    found = await ended(client, job.job_id)
    assert found["state"] == "done"
    assert await fetch(client, found)
    assert dead.keep(job.job_id, "dead", 10**15, {}) is False, "the dead cannot take it back"
    dead.close()


async def test_a_process_that_lost_its_job_leaves_the_file_of_its_successor(
    running: Any, gate: "Gate", export_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still for longer than its lease; the next process has done the job when it wakes up and finds out."""
    client = await running()
    job = await ask(client, "events")
    await asyncio.to_thread(gate.reached.wait, 20)
    plane = ExportJobs(export_settings.control_plane_dsn())
    failed = threading.Event()

    def fail(*_given: Any) -> bool:
        failed.set()
        raise OSError("away")

    monkeypatch.setattr(ExportJobs, "keep", fail)
    assert await asyncio.to_thread(failed.wait, 20), "a renewal has failed, so none that succeeds is under way"
    with plane._writer.begin() as connection:
        connection.exec_driver_sql("UPDATE export_jobs SET lease_until_ms = 5 WHERE job_id = ?", (job["job_id"],))
    gate.opened.set()
    monkeypatch.undo()
    successor = await running()
    found = await ended(successor, job["job_id"], "done")
    rows = await fetch(successor, found)
    assert rows
    assert await fetch(client, found) == rows
    plane.close()


class Gate:
    """Holds a stream up after its first piece."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def slow(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            lines = piece.splitlines(keepends=True)
            yield lines[0]
            self.reached.set()
            self.opened.wait(20)
            yield b"".join(lines[1:])


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made, original = Gate(), ByteStream.__iter__
    monkeypatch.setattr(ByteStream, "__iter__", lambda self: made.slow(original(self)))
    yield made
    made.opened.set()


async def test_a_running_job_can_be_cancelled(running: Any, gate: Gate, export_settings: Settings) -> None:
    client = await running()
    job = await ask(client, "events")
    await asyncio.to_thread(gate.reached.wait, 20)
    seen = await ended(client, job["job_id"], "running")
    assert seen["download_url"] is None
    cancelled = (await client.delete(f"/v1/reports/export/{job['job_id']}")).json()["data"]
    assert cancelled["state"] == "cancelled"
    gate.opened.set()
    after = await ask(client, "users")
    assert (await ended(client, after["job_id"]))["state"] == "done"
    assert (await ended(client, job["job_id"]))["state"] == "cancelled"
    folder = Path(urlsplit(export_settings.export_url).path)
    assert [path for path in folder.iterdir() if job["job_id"] in path.name] == []


async def test_a_stopped_process_gives_its_job_back(running: Any, gate: Gate) -> None:
    first = await running()
    job = await ask(first, "events")
    await asyncio.to_thread(gate.reached.wait, 20)
    runner = first._transport.app.state.export_runner
    gate.opened.set()
    await runner.stop()
    second = await running()
    assert (await ended(second, job["job_id"]))["state"] == "done"


async def test_a_plan_limits_the_rows(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "ROW_LIMITS", dict.fromkeys(Plan, 10))
    client = await running()
    job = await ended(client, (await ask(client, "events"))["job_id"])
    assert job["state"] == "failed"
    assert job["error"]["code"] == "PAYLOAD_TOO_LARGE"
    assert job["error"]["details"]["limit"] == 10
    assert job["error"]["details"]["actual"] > 10
    english = await client.get(f"/v1/reports/export/{job['job_id']}", headers={"Accept-Language": "en"})
    assert "the plan's limit is 10" in english.json()["data"]["error"]["details"]["reason"]


async def test_jobs_that_wait_are_limited(running: Any, gate: Gate) -> None:
    client = await running(export_max_unfinished=2)
    for _ in range(2):
        await ask(client, "events")
    answer = await client.post("/v1/reports/export", json={"report": "events", "format": "csv"})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "report"
    gate.opened.set()


async def test_a_query_that_breaks_off_leaves_no_file(
    running: Any, monkeypatch: pytest.MonkeyPatch, export_settings: Settings
) -> None:
    def broken(_stream: ByteStream) -> Iterator[bytes]:
        yield b'{"event_id":"half'
        yield b"Code: 241. DB::Exception: memory"

    monkeypatch.setattr(ByteStream, "__iter__", broken)
    client = await running()
    job = await ended(client, (await ask(client, "events"))["job_id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "SERVER_ERROR")
    folder = Path(urlsplit(export_settings.export_url).path)
    assert [path for path in folder.iterdir() if job["job_id"] in path.name] == []


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
