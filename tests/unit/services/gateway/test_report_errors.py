"""Requests that the three endpoints refuse, and what their answers say."""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from answers import error_of
from fastapi import FastAPI

from schemas.events import AcceptedEvent
from schemas.facts import RejectedRow
from services.gateway.sink import MemorySink

TRACK, BATCH, VALIDATE = "/v1/events/track", "/v1/events/batch", "/v1/events/validate"
ENDPOINTS = [TRACK, BATCH, VALIDATE]

Stored = Callable[[], list[AcceptedEvent]]
Refused = Callable[[], list[RejectedRow]]


KEYS = pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        (None, 401, "INVALID_API_KEY"),
        ("", 401, "INVALID_API_KEY"),
        ("Bearer", 401, "INVALID_API_KEY"),
        ("Bearer unknown", 401, "INVALID_API_KEY"),
        ("Basic ak_test_write", 401, "INVALID_API_KEY"),
        ("ak_test_write", 401, "INVALID_API_KEY"),
        ("Bearer ak_test_revoked", 401, "INVALID_API_KEY"),
        ("Bearer " + "x" * 5000, 401, "INVALID_API_KEY"),
        ("Bearer ak_test_read", 403, "FORBIDDEN"),
    ],
)


@pytest.mark.parametrize(
    ("authorization", "zh", "en"),
    [
        (None, "没有提供", "there is none"),
        ("", "没有提供", "there is none"),
        ("Bearer", "格式", "form"),
        ("Basic ak_test_write", "格式", "form"),
        ("ak_test_write", "格式", "form"),
        ("Bearer unknown", "没有这个", "no such key"),
        ("Bearer ak_test_revoked", "吊销", "revoked"),
    ],
)
async def test_a_401_says_which_mistake_it_was(
    client: httpx.AsyncClient, authorization: str | None, zh: str, en: str
) -> None:
    del client.headers["Authorization"]
    headers = {} if authorization is None else {"Authorization": authorization}
    for language, words in (("zh", zh), ("en", en)):
        error = error_of(await client.post(TRACK, json={}, headers=headers | {"Accept-Language": language}))
        assert error["message"].endswith(error["details"]["reason"])
        assert words in error["message"]


@pytest.mark.parametrize(
    ("body", "zh", "en"),
    [
        (b"", "内容为空", "empty"),
        (b'{"event_name":', "内容不完整（第 1 行第 15 列）", "unexpected end of data"),
        (rb'{"event_name":"\ud83d"}', "半个代理对", "surrogate"),
        (b'{"event_name":"a","properties":{"a":NaN}}', "JSON 值", "expected a JSON value"),
        (
            b'{"event_name":"a","context":{"ip":"nowhere"}}',
            "context.ip 不是有效的 IP 地址",
            "context.ip: it is not an IP",
        ),
    ],
)
async def test_a_message_carries_the_reason_in_the_callers_language(
    client: httpx.AsyncClient, body: bytes, zh: str, en: str
) -> None:
    chinese = error_of(await client.post(TRACK, content=body))["message"]
    english = error_of(await client.post(TRACK, content=body, headers={"Accept-Language": "en"}))["message"]
    assert zh in chinese
    assert en in english
    assert english.isascii()


@pytest.mark.parametrize("path", ENDPOINTS)
@KEYS
async def test_keys(
    client: httpx.AsyncClient, sink: MemorySink, path: str, authorization: str | None, status: int, code: str
) -> None:
    del client.headers["Authorization"]
    headers = {} if authorization is None else {"Authorization": authorization}
    response = await client.post(path, json={"event_name": "a"}, headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert ("www-authenticate" in response.headers) is (status == 401)
    if status == 403:
        assert error_of(response)["details"] == {"required_scope": "write"}
    assert sink.records == []


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_a_body_that_is_no_json_is_refused_and_kept(
    client: httpx.AsyncClient, refused: Refused, path: str
) -> None:
    response = await client.post(path, content=b'{"event_name": ')
    if path == VALIDATE:
        assert response.json()["data"]["valid"] is False
        assert refused() == []
        return
    assert (response.status_code, error_of(response)["code"]) == (400, "INVALID_PARAMETER")
    (row,) = refused()
    assert row.payload == '{"event_name": '


@pytest.mark.parametrize(("path", "limit"), [(TRACK, 32 * 1024), (BATCH, 5 * 1024 * 1024)])
async def test_bodies_past_the_limit(client: httpx.AsyncClient, path: str, limit: int) -> None:
    response = await client.post(path, content=b" " * (limit + 1))
    assert (response.status_code, error_of(response)["code"]) == (400, "PAYLOAD_TOO_LARGE")
    assert error_of(response)["details"]["limit"] == limit

    async def chunks() -> Any:
        for _ in range(limit // 4096 + 2):
            yield b" " * 4096

    response = await client.post(path, content=chunks())
    assert (response.status_code, error_of(response)["code"]) == (400, "PAYLOAD_TOO_LARGE")
    bomb = gzip.compress(bytes(4 * limit))
    response = await client.post(path, content=bomb, headers={"Content-Encoding": "gzip"})
    assert (response.status_code, error_of(response)["code"]) == (400, "PAYLOAD_TOO_LARGE")


async def test_compressed_bodies(client: httpx.AsyncClient, stored: Stored) -> None:
    body = gzip.compress(b'{"event_name": "page_view"}')
    response = await client.post(TRACK, content=body, headers={"Content-Encoding": "gzip"})
    assert response.status_code == 201
    assert len(stored()) == 1
    response = await client.post(TRACK, content=body, headers={"Content-Encoding": "br"})
    assert (response.status_code, error_of(response)["details"]["field"]) == (400, "Content-Encoding")


@pytest.mark.parametrize(
    ("accepted", "message"),
    [
        (None, "缺少必填字段：event_name"),
        ("en-GB,zh;q=0.5", "A required field is missing: event_name"),
        ("zh-CN,en;q=0.9", "缺少必填字段：event_name"),
        ("fr,en;q=0.1", "A required field is missing: event_name"),
        ("de", "缺少必填字段：event_name"),
    ],
)
async def test_messages_follow_the_callers_language(
    client: httpx.AsyncClient, accepted: str | None, message: str
) -> None:
    headers = {} if accepted is None else {"Accept-Language": accepted}
    assert error_of(await client.post(TRACK, json={}, headers=headers))["message"] == message


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_wrong_methods(client: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        response = await client.request(method, path)
        assert response.status_code == 405
        assert error_of(response)["details"] == {"allowed": ["POST"]}
        assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/events/track/", "/v2/events/track", "/v1/nothing"])
async def test_unknown_paths(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json={})
    assert (response.status_code, error_of(response)["code"]) == (404, "NOT_FOUND")


async def test_request_ids_come_back(client: httpx.AsyncClient) -> None:
    given = await client.post(TRACK, json={}, headers={"X-Request-Id": "order-42"})
    assert given.headers["x-request-id"] == "order-42"
    for bad in ("x" * 129, "two words", ""):
        minted = await client.post(TRACK, json={}, headers={"X-Request-Id": bad})
        assert minted.headers["x-request-id"].startswith("req_")
    assert (await client.get("/nowhere")).headers["x-request-id"].startswith("req_")


async def test_a_broker_that_fails_is_our_error(client: httpx.AsyncClient, sink: MemorySink) -> None:
    sink.fail_with = "no leader"
    for path, body in ((TRACK, {"event_name": "a"}), (BATCH, {"events": [{"event_name": "a"}]})):
        response = await client.post(path, json=body)
        assert response.status_code == 500
        assert response.headers["retry-after"] == "1"
        assert error_of(response)["details"] == {"request_id": response.headers["x-request-id"]}
    sink.fail_with = None
    assert (await client.post(TRACK, json={"event_name": "a"})).status_code == 201


async def test_bad_events_are_told_so_while_the_broker_is_away(client: httpx.AsyncClient, sink: MemorySink) -> None:
    sink.is_connected = False
    assert (await client.post(TRACK, json={"event_name": "A"})).status_code == 400
    assert (await client.post(TRACK, json={"event_name": "a"})).status_code == 500


async def test_a_crash_has_the_envelope_too(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("services.gateway.intake.check_event", crash)
    response = await client.post(TRACK, json={"event_name": "a"})
    assert (response.status_code, error_of(response)["code"]) == (500, "SERVER_ERROR")
    assert "secret" not in response.text


async def test_past_the_budget_requests_are_refused_at_once(
    make_app: Callable[..., FastAPI], make_client: Callable[[FastAPI], httpx.AsyncClient]
) -> None:
    async with make_client(make_app(max_in_flight_bytes=1000)) as client:
        small, large = {"event_name": "a"}, {"event_name": "a", "properties": {"a": "x" * 2000}}
        assert (await client.post(TRACK, json=small)).status_code == 201
        response = await client.post(TRACK, json=large)
        assert (response.status_code, response.headers["retry-after"]) == (500, "1")
        assert (await client.post(TRACK, json=small)).status_code == 201


async def test_on_a_full_disk_of_the_broker_events_are_refused_and_readiness_says_why(
    make_app: Callable[..., FastAPI],
    make_client: Callable[[FastAPI], httpx.AsyncClient],
    sink: MemorySink,
    tmp_path: Path,
) -> None:
    """As full: a margin larger than any disk."""
    async with make_client(make_app(broker_data_dir=str(tmp_path), broker_margin_bytes=2**50)) as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["error"]["details"]) == (
            503,
            {"missing": ["disk space for the broker"]},
        )
        for path, body in (("track", {"event_name": "a"}), ("batch", {"events": [{"event_name": "a"}, {}]})):
            answer = await client.post(f"/v1/events/{path}", json=body)
            assert (answer.status_code, answer.headers["retry-after"]) == (500, "10")
            assert answer.json()["error"]["code"] == "SERVER_ERROR"
    assert sink.records == []


@pytest.mark.parametrize(
    "event",
    [
        '{"event_name":DEEP}',
        '{"event_name":"a","x":DEEP}',
        '{"event_name":"a","context":{"x":DEEP}}',
        '{"event_name":"a","context":{"page":1,"x":DEEP}}',
        '{"event_name":"a","timestamp":"","x":DEEP}',
        '{"event_name":"a","properties":{"x":DEEP}}',
    ],
)
@pytest.mark.parametrize("opening", ["[]", "{}"])
async def test_no_depth_is_a_crash(client: httpx.AsyncClient, event: str, opening: str) -> None:
    """What decodes an event first may have more room than what looks at it again."""
    start, end = ("[", "]") if opening == "[]" else ('{"a":', "}")
    for levels in (*range(sys.getrecursionlimit() - 300, sys.getrecursionlimit() + 20, 3), 5_000):
        raw = event.replace("DEEP", start * levels + "1" + end * levels)
        for path, body in ((TRACK, raw), (BATCH, f'{{"events":[{raw},{{"event_name":"a"}}]}}'), (VALIDATE, raw)):
            answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (200, 201, 400), (path, levels)
