"""The contract of every endpoint: its errors in both languages, and that nobody reads what is not theirs."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from query_world import SIGNING_KEY, World
from structlog.testing import capture_logs

from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.settings import Settings
from schemas.errors import ErrorCode
from services.query.app import create_app
from services.query.core.cursors import Cursors, Position
from services.query.core.times import parse_instant, time_in_zone
from services.web.errors import NO_PATH

LISTS = ["/v1/events", "/v1/events/rejected", "/v1/conversions", "/v1/users", "/v1/users/user4/events"]
LIST_NAMES = dict(zip(LISTS, ["events", "rejected", "conversions", "users", "user_events"], strict=True))
RANGES = [*LISTS, "/v1/attribution", "/v1/reports/performance", "/v1/reports/conversion"]
ALL = [*RANGES, "/v1/events/evt_00001", "/v1/users/user4"]
READ = {"Authorization": "Bearer ak_test_alpha"}
CURSORS = Cursors(SIGNING_KEY, "alpha")
THEIRS = Cursors(SIGNING_KEY, "beta")


def error_of(answer: httpx.Response, code: ErrorCode, language: str = "zh") -> dict[str, Any]:
    body = answer.json()
    assert answer.status_code == code.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert set(body) == {"success", "error"}
    assert body["success"] is False
    assert set(body["error"]) == {"code", "message", "details"}
    assert body["error"]["code"] == code
    assert body["error"]["message"].startswith(code.message(language))
    details: dict[str, Any] = body["error"]["details"]
    return details


BAD_KEYS = [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer nobody", "Bearer ak_test_revoked", "ak_test_alpha"]


@pytest.mark.parametrize("authorization", BAD_KEYS)
async def test_without_a_valid_key(client: httpx.AsyncClient, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ALL:
        answer = await client.get(path, headers=headers, params={"limit": "bad"})
        error_of(answer, ErrorCode.INVALID_API_KEY)
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_write_key_cannot_read(client: httpx.AsyncClient) -> None:
    headers = {"Authorization": "Bearer ak_test_write", "Accept-Language": "en-GB,en;q=0.9"}
    for path in ALL:
        details = error_of(await client.get(path, headers=headers), ErrorCode.FORBIDDEN, "en")
        assert details == {"required_scope": "read"}


BAD_STARTS = ("", "now", "2024-13-01", "2024-1-1", "1704067200")
BAD_ENDS = ("2024-01-01T00:00:00", "9999-12-31", "2024-01-01T25:00:00Z")
BAD_ZONES = ("Mars/Olympus", "../etc/passwd", "UTC'", "", "localtime")
BAD_PARAMETERS = [
    *((path, {"limit": value}, "limit") for path in LISTS for value in ("0", "1001", "-1", "x", "", "1e3", "9" * 30)),
    *((path, {"cursor": value}, "cursor") for path in LISTS for value in ("", "x", "%", "é", "WzEsMl0", "A" * 600)),
    *((path, {"cursor": CURSORS.encode("other", Position(1, "x"))}, "cursor") for path in LISTS),
    *((path, {"cursor": THEIRS.encode(name, Position(1, "x"))}, "cursor") for path, name in LIST_NAMES.items()),
    *((path, {"from": value}, "from") for path in RANGES for value in BAD_STARTS),
    *((path, {"to": value}, "to") for path in RANGES for value in BAD_ENDS),
    *((path, {"from": "2024-02-02", "to": "2024-02-01"}, "from") for path in RANGES),
    *((path, {"tz": value}, "tz") for path in ALL for value in BAD_ZONES),
    *((path, {"lmit": "5"}, "lmit") for path in ALL),
    *((path, [("tz", "UTC"), ("tz", "UTC")], "tz") for path in ALL),
    ("/v1/events", {"event_name": "Purchase-Complete"}, "event_name[0]"),
    ("/v1/events/rejected", {"code": "invalid"}, "code[0]"),
    ("/v1/events/rejected", {"field": ""}, "field"),
    ("/v1/events/rejected", {"event_name": "a"}, "event_name"),
    ("/v1/events", {"user_id": ""}, "user_id"),
    ("/v1/events", {"user_id": "x" * 201}, "user_id"),
    ("/v1/events", {"property.": "x"}, "property."),
    ("/v1/events", [("property.a", "x"), ("property.a", "y")], "property.a"),
    ("/v1/events", {"property.a": "x" * 1001}, "property.a"),
    ("/v1/events", {f"property.p{n}": "x" for n in range(11)}, "property.*"),
    ("/v1/events/" + "x" * 129, {}, "event_id"),
    ("/v1/users/" + "x" * 201, {}, "user_id"),
    ("/v1/conversions", {"min_value": "-1"}, "min_value"),
    ("/v1/conversions", {"min_value": "NaN"}, "min_value"),
    ("/v1/conversions", {"min_value": "much"}, "min_value"),
    ("/v1/conversions", {"currency": "cny"}, "currency"),
    ("/v1/conversions", {"goal": "A b"}, "goal[0]"),
    ("/v1/attribution", {"model": "guess"}, "model"),
    ("/v1/attribution", {"model": "all,guess"}, "model"),
    ("/v1/attribution", {"model": ""}, "model"),
    ("/v1/attribution", {"dimension": "weekday"}, "dimension"),
    ("/v1/attribution", {"conversion_id": "x", "dimension": "source"}, "dimension"),
    ("/v1/attribution", {"conversion_id": "x", "from": "2024-01-01"}, "from"),
    ("/v1/reports/performance", {"granularity": "minute"}, "granularity"),
    ("/v1/reports/performance", {"dimension": "channel'"}, "dimension"),
    ("/v1/reports/performance", {"compare": "previous_period"}, "compare"),
    ("/v1/reports/performance", {"compare": "previous_period", "from": "2024-01-01"}, "compare"),
    ("/v1/reports/performance", {"compare": "last_year"}, "compare"),
    ("/v1/reports/conversion", {"currency": "CNYX"}, "currency"),
    ("/v1/reports/conversion", {"steps": "page_view"}, "steps"),
    ("/v1/reports/conversion", {"steps": "page_view,Purchase"}, "steps[1]"),
    ("/v1/reports/conversion", {"steps": ",".join(["a"] * 11)}, "steps"),
    ("/v1/reports/conversion", {"steps": "a,b", "within_hours": "0"}, "within_hours"),
    ("/v1/reports/conversion", {"within_hours": "5"}, "within_hours"),
]  # fmt: skip


@pytest.mark.parametrize("start", range(0, len(BAD_PARAMETERS), 20))
async def test_bad_parameters_are_named_with_a_reason(client: httpx.AsyncClient, start: int) -> None:
    for path, parameters, field in BAD_PARAMETERS[start : start + 20]:
        details = error_of(await client.get(path, params=parameters, headers=READ), ErrorCode.INVALID_PARAMETER)
        assert (set(details), details["field"]) == ({"field", "reason"}, field), (path, parameters)
        english = await client.get(path, params=parameters, headers=READ | {"Accept-Language": "en"})
        reason = error_of(english, ErrorCode.INVALID_PARAMETER, "en")["reason"]
        assert reason
        assert reason.isascii()


ABSENT = [
    "/v1/events/none",
    "/v1/users/nobody",
    "/v1/users/nobody/events",
    "/v1/attribution?conversion_id=none",
    *("/", "/v1", "/v1/", "/v2/events", "/v1/events/", "/v1/nothing"),
]


@pytest.mark.parametrize("path", ABSENT)
async def test_what_is_not_there(client: httpx.AsyncClient, path: str) -> None:
    assert error_of(await client.get(path, headers=READ), ErrorCode.NOT_FOUND) in ({}, {"reason": NO_PATH.zh})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_the_wrong_method(client: httpx.AsyncClient, method: str) -> None:
    for path in ALL:
        answer = await client.request(method, path, headers=READ)
        assert error_of(answer, ErrorCode.METHOD_NOT_ALLOWED) == {"allowed": ["GET"]}
        assert answer.headers["allow"] == "GET"


async def test_another_apps_key_sees_none_of_it(client: httpx.AsyncClient, ask: Any, alpha: World, beta: World) -> None:
    theirs = {event.event_id for event in beta.events}
    data = await ask("events", key="beta", limit=1000)
    assert {item["event_id"] for item in data["items"]} == theirs
    assert {row["id"] for row in (await ask("users", key="beta", limit=1000))["items"]} == {
        row.person_key[2:] for row in beta.sessions
    }
    assert (await ask("reports/performance", key="beta"))["totals"]["sessions"] == len(beta.sessions)
    for path in ("reports/conversion", "attribution"):
        assert sum(row["conversions"] for row in (await ask(path, key="beta"))["by_goal"]) == len(beta.conversions)
    only_alphas = [event.event_id for event in alpha.events if event.event_id not in theirs]
    session, conversion = alpha.sessions[-1], alpha.conversions[-1]
    assert (await ask("events", key="beta", session_id=session.session_id))["items"] == []
    headers = {"Authorization": "Bearer ak_test_beta"}
    for path in [
        f"/v1/events/{only_alphas[0]}",
        "/v1/users/user38",
        "/v1/users/user38/events",
        f"/v1/attribution?conversion_id={conversion.conversion_id}",
    ]:
        error_of(await client.get(path, headers=headers), ErrorCode.NOT_FOUND)


INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE events; --",
    "\\' OR 1=1 --",
    "{app_id:String}",
    "beta' UNION ALL SELECT * FROM events --",
    "\x00",
    "%s %(app_id)s $1 ?",
    "x\nFROM events",
    "'||(SELECT 1)||'",
    "\\",
    "') OR app_id = ('beta",
    "\ud7ff\ufffd🤖",
]
TEXT_PARAMETERS = [
    *(("/v1/events", name) for name in ("event_name", "user_id", "anonymous_id", "session_id", "property.label")),
    *(("/v1/events/rejected", name) for name in ("code", "field", "from", "cursor")),
    *(
        ("/v1/conversions", name)
        for name in ("goal", "user_id", "currency", "min_value", "channel", "source", "campaign")
    ),
    *(("/v1/attribution", name) for name in ("goal", "model", "dimension", "conversion_id", "currency")),
    *(
        ("/v1/reports/performance", name)
        for name in ("granularity", "dimension", "goal", "currency", "compare", "model")
    ),
    *(("/v1/reports/conversion", name) for name in ("steps", "within_hours", "goal", "currency")),
    *(("/v1/users", name) for name in ("limit", "tz")),
    *((path, name) for path in ("/v1/users", "/v1/reports/conversion") for name in ("from", "to", "tz", "cursor")),
]


@pytest.mark.parametrize("text", INJECTIONS)
async def test_what_a_caller_sends_is_data(client: httpx.AsyncClient, ask: Any, alpha: World, text: str) -> None:
    for path, name in TEXT_PARAMETERS:
        answer = await client.get(path, params={name: text}, headers=READ)
        if answer.status_code == 200:
            assert answer.json()["data"]["items"] == []
        else:
            assert answer.json()["error"]["code"] in ("INVALID_PARAMETER", "NOT_FOUND"), answer.text
    named = await client.get("/v1/events", params={f"property.{text}": "x"}, headers=READ)
    assert named.json()["data"]["items"] == []
    cursor = CURSORS.encode("events", Position(2**62, text))
    assert (await client.get("/v1/events", params={"cursor": cursor}, headers=READ)).status_code == 200
    for path in ("/v1/events/{}", "/v1/users/{}", "/v1/users/{}/events"):
        quoted = quote(text, safe="")
        assert (await client.get(path.format(quoted), headers=READ)).status_code == 404
    assert len((await ask("events", limit=1000))["items"]) == len(alpha.events)


async def test_times_are_of_the_zone_asked_for(client: httpx.AsyncClient) -> None:
    """The instants are those of UTC, under the clock and the offset of the zone, whatever the answer."""
    seen = 0
    for path in ALL:
        utc, local = [await _times(client, path, zone) for zone in ("UTC", "America/New_York")]
        assert [parse_instant(moment) for moment in utc] == [parse_instant(moment) for moment in local]
        assert utc == [time_in_zone(parse_instant(moment), "UTC") for moment in utc], path
        assert local == [time_in_zone(parse_instant(moment), "America/New_York") for moment in local], path
        seen += len(utc)
    assert seen > 100


async def _times(client: httpx.AsyncClient, path: str, zone: str) -> list[str]:
    answer = await client.get(path, params={"tz": zone}, headers=READ)
    return re.findall(r'"(\d{4}-\d{2}-\d{2}T[^"]*)"', answer.text)


async def test_clickhouse_away(free_port: Any, tmp_path: Path, query_app: FastAPI, connect: Any) -> None:
    settings = Settings(data_dir=tmp_path, clickhouse_url=f"http://default:secret@127.0.0.1:{free_port()}/nothing")
    away = ClickHouse.open(settings)
    app = create_app(settings, away, query_app.state.snapshots)
    async with connect(app) as client:
        for path in ALL:
            answer = await client.get(path, headers=READ)
            details = error_of(answer, ErrorCode.SERVER_ERROR)
            assert details == {"request_id": answer.headers["x-request-id"]}
            assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["error"]["details"]["missing"] == ["clickhouse"]
    away.close()


LIMITS = [
    ("query_max_seconds", 0.000001, "SERVER_ERROR", "shorter range"),
    ("query_max_rows_to_read", 50, "INVALID_PARAMETER", "more than 50 rows"),
    ("query_max_memory_bytes", 10_000, "INVALID_PARAMETER", "bytes of memory"),
]


@pytest.mark.parametrize(("name", "limit", "code", "words"), LIMITS)
async def test_a_query_over_its_limit(
    query_settings: Settings,
    facts: ClickHouse,
    query_app: FastAPI,
    connect: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    limit: float,
    code: ErrorCode,
    words: str,
) -> None:
    if name == "query_max_seconds":
        slow = " AND sleepEachRow(0.01) = 0 LIMIT {row_limit:UInt32}"
        monkeypatch.setattr("services.query.core.sql.newest_first", lambda *_: slow)
    limited = create_app(query_settings.model_copy(update={name: limit}), facts, query_app.state.snapshots)
    async with connect(limited) as client:
        answer = await client.get("/v1/events", headers=READ | {"Accept-Language": "en"})
    details = error_of(answer, ErrorCode(code), "en")
    assert words in details["reason"]
    if code == "INVALID_PARAMETER":
        assert (details["field"], details["limit"]) == ("query", limit)
    else:
        assert answer.headers["retry-after"]


async def test_a_report_that_would_be_cut_short_is_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.query.aggregates.report_parts.MAX_REPORT_ROWS", 3)
    answer = await client.get("/v1/reports/performance?granularity=hour", headers=READ)
    assert error_of(answer, ErrorCode.INVALID_PARAMETER)["field"] == "granularity"
    answer = await client.get("/v1/attribution", headers=READ)
    assert error_of(answer, ErrorCode.INVALID_PARAMETER)["field"] == "dimension"


async def test_request_ids_and_operations(client: httpx.AsyncClient) -> None:
    given = await client.get("/v1/users", headers=READ | {"X-Request-Id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    forged = await client.get("/v1/users", headers=READ | {"X-Request-Id": "a b<script>"})
    assert forged.headers["x-request-id"].startswith("req_")
    assert (await client.get("/readyz")).json()["data"] == {"status": "ready"}
    metrics = (await client.get("/metrics")).text
    assert 'attrikit_http_requests_total{method="GET",route="/v1/users",service="query",status="200"}' in metrics


async def test_a_crash_is_an_envelope_too(
    query_settings: Settings, facts: ClickHouse, query_app: FastAPI, connect: Any
) -> None:
    app = create_app(query_settings, facts, query_app.state.snapshots)
    app.state.reader = None
    with capture_logs() as logs:
        async with connect(app) as client:
            answer = await client.get("/v1/users", headers=READ)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["request_crashed"]
    assert error_of(answer, ErrorCode.SERVER_ERROR) == {"request_id": answer.headers["x-request-id"]}
    assert answer.headers["retry-after"]


def test_the_document_holds_every_route_parameter_and_error(query_app: FastAPI) -> None:
    document = query_app.openapi()
    assert set(document["paths"]) >= {
        "/v1/events", "/v1/events/{event_id}", "/v1/conversions", "/v1/attribution", "/v1/users", "/v1/users/{user_id}",
        "/v1/events/rejected", "/v1/users/{user_id}/events", "/v1/users/{user_id}/journey", "/v1/reports/performance",
        "/v1/reports/conversion", "/v1/reports/export", "/v1/reports/export/{job_id}",
        "/v1/reports/export/{job_id}/download",
    }  # fmt: skip
    for path, operations in document["paths"].items():
        if "get" not in operations or path.endswith("/download"):
            continue
        get = operations["get"]
        assert {"200", "400", "401", "403", "500"} <= set(get["responses"])
        assert "422" not in get["responses"]
        assert get["security"] == [{"ApiKey": []}]
        assert get["responses"]["200"]["content"]["application/json"]["example"]["success"] is True
        assert "$ref" in json.dumps(get["responses"]["200"]["content"]["application/json"]["schema"])
    listed = document["paths"]["/v1/events"]["get"]["parameters"]
    names = {parameter["name"] for parameter in listed if "name" in parameter}
    assert names == {
        "limit", "cursor", "tz", "from", "to", "event_name", "user_id", "anonymous_id", "session_id", "properties",
        "awaiting_order",
    }  # fmt: skip
    references = json.dumps(document).split('"$ref": "#/components/schemas/')[1:]
    assert {text.split('"')[0] for text in references} <= set(document["components"]["schemas"])
