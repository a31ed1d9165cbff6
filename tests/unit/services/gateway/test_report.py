"""The three endpoints as callers see them, over the real code and a sink in memory."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from schemas.events import AcceptedEvent
from schemas.facts import RejectedRow
from schemas.ids import partition_for
from schemas.topics import Topic
from services.gateway.sink import MemorySink

TRACK, BATCH, VALIDATE = "/v1/events/track", "/v1/events/batch", "/v1/events/validate"
ENDPOINTS = [TRACK, BATCH, VALIDATE]
QUICK_START = """{
    "event_name": "page_view",
    "properties": {
      "page_title": "首页",
      "page_url": "https://example.com"
    },
    "timestamp": "2024-01-15T10:30:00Z"
  }"""

Stored = Callable[[], list[AcceptedEvent]]
Refused = Callable[[], list[RejectedRow]]


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert body["success"] is False
    error: dict[str, Any] = body["error"]
    return error


async def test_the_documents_first_request(client: httpx.AsyncClient, stored: Stored, sink: MemorySink) -> None:
    response = await client.post(TRACK, content=QUICK_START)
    assert response.status_code == 201
    body = response.json()
    assert body.keys() == {"success", "data"}
    assert body["data"].keys() == {"event_id", "received_at", "warnings"}
    assert [warning["code"] for warning in body["data"]["warnings"]] == ["NO_PERSON"]
    (event,) = stored()
    assert event.event_id == body["data"]["event_id"]
    assert event.timestamp_ms == 1_705_314_600_000
    assert (event.page_url, event.page_title) == ("https://example.com", "首页")
    assert (event.ip, event.app_id, event.key_id) == ("198.51.100.7", "shop", "key_write")
    ((topic, partition, value),) = sink.records
    assert (topic, partition) == (Topic.EVENTS, partition_for("shop", "e:" + event.event_id, 4))
    assert value.endswith(b"\n")


@pytest.mark.parametrize(
    ("forwarded_for", "address"),
    [
        ("198.51.100.4", "198.51.100.4"),
        ("198.51.100.4, unknown", ""),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("x" * 60_000, ""),
    ],
)
async def test_the_address_is_what_trusted_proxies_say_if_it_is_one(
    make_app: Callable[..., FastAPI],
    make_client: Callable[[FastAPI], httpx.AsyncClient],
    stored: Stored,
    forwarded_for: str,
    address: str,
) -> None:
    for proxies in ("198.51.100.7", "127.0.0.1"):
        async with make_client(make_app(trusted_proxies=proxies)) as client:
            await client.post(TRACK, json={"event_name": "a"}, headers={"X-Forwarded-For": forwarded_for})
    assert [event.ip for event in stored()] == [address, "198.51.100.7"]


async def test_an_agent_in_utf_8_keeps_its_text(client: httpx.AsyncClient, stored: Stored) -> None:
    for agent in ("我的商店/1.0".encode(), "Caf\xe9/1.0".encode("latin-1")):
        await client.post(TRACK, json={"event_name": "a"}, headers={b"User-Agent": agent})
    assert [event.user_agent for event in stored()] == ["我的商店/1.0", "Caf\xe9/1.0"]


async def test_a_batch_answers_for_every_event(client: httpx.AsyncClient, stored: Stored, refused: Refused) -> None:
    events = [
        {"event_name": "a", "event_id": "1"},
        {"event_name": "A B", "event_id": "2"},
        {"event_name": "a", "event_id": "1"},
    ]
    response = await client.post(BATCH, json={"events": events}, headers={"Accept-Language": "en"})
    assert response.status_code == 201
    data = response.json()["data"]
    assert (data["accepted"], data["rejected"]) == (1, 1)
    assert [(r["index"], r["event_id"], r["status"]) for r in data["results"]] == [
        (0, "1", "accepted"),
        (1, "2", "rejected"),
        (2, "1", "duplicate"),
    ]
    assert data["results"][1]["error"] == {
        "code": "INVALID_EVENT_NAME",
        "message": "The event name is invalid; use snake_case: events[1].event_name",
        "details": {"field": "events[1].event_name", "value": "A B", "suggestion": "a_b"},
    }
    assert "error" not in data["results"][0]
    assert [event.event_id for event in stored()] == ["1"]
    (row,) = refused()
    assert (row.code, row.field) == ("INVALID_EVENT_NAME", "events[1].event_name")
    assert json.loads(row.payload) == events[1]


async def test_a_batch_of_errors_is_a_200_and_can_be_asked_for_errors_alone(client: httpx.AsyncClient) -> None:
    response = await client.post(BATCH, json={"events": [{"event_name": "A"}]})
    assert response.status_code == 200
    assert response.json()["data"]["accepted"] == 0
    mixed = [{"event_name": "a"}, {"event_name": "A"}, {"event_name": "a"}]
    response = await client.post(BATCH + "?results=errors", json={"events": mixed})
    data = response.json()["data"]
    assert (data["accepted"], data["rejected"]) == (2, 1)
    assert [result["index"] for result in data["results"]] == [1]
    response = await client.post(BATCH + "?results=some", json={"events": mixed})
    assert (response.status_code, error_of(response)["details"]["field"]) == (400, "results")


async def test_ndjson(client: httpx.AsyncClient, stored: Stored, refused: Refused) -> None:
    lines = b'{"event_name":"a","user_id":"u"}\n\n{"event_name":\n\xff\xfe\r\n{"event_name":"b","user_id":"u"}'
    response = await client.post(BATCH, content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert response.status_code == 201
    data = response.json()["data"]
    assert [result["status"] for result in data["results"]] == ["accepted", "rejected", "rejected", "accepted"]
    assert [event.event_name for event in stored()] == ["a", "b"]
    assert [row.field for row in refused()] == ["events[1]", "events[2]"]


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson"])
async def test_one_event_that_is_no_json_costs_itself_alone(
    client: httpx.AsyncClient, stored: Stored, refused: Refused, content_type: str
) -> None:
    odd = rb'{"event_name":"page_view","event_id":"odd","properties":{"page_title":"sale \ud83d","items":[{"n":1}]}}'
    pieces = [b'{"event_name":"page_view","event_id":"e-%d"}' % n for n in range(500)]
    pieces[77] = odd
    body = b"\n".join(pieces) if "nd" in content_type else b'{"events": [' + b", ".join(pieces) + b"]}"
    headers = {"Content-Type": content_type}
    data = (await client.post(BATCH, content=body, headers=headers)).json()["data"]
    assert (data["accepted"], data["rejected"]) == (499, 1)
    assert [result["index"] for result in data["results"] if result["status"] == "rejected"] == [77]
    assert len(stored()) == 499
    (row,) = refused()
    assert (row.field, row.payload) == ("events[77]", odd.decode())
    validated = (await client.post(VALIDATE, content=body, headers=headers)).json()["data"]
    assert [(error["index"], error["details"]["field"]) for error in validated["errors"]] == [(77, "events[77]")]
    assert len(validated["normalized"]) == 499


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson"])
async def test_a_key_twice_has_one_reading_everywhere(
    client: httpx.AsyncClient, stored: Stored, content_type: str
) -> None:
    twice = b'{"event_name":"purchase","properties":{"revenue": 1, "revenue": 999, "a":{"b":1,"b":[{"c":1,"c":2}]}}}'
    flat = b'{"event_name":"purchase","properties":{"revenue" :1,"x":"\\":","revenue":999}}'
    body = b"\n".join([twice, flat]) if "nd" in content_type else b'{"events":[' + twice + b"," + flat + b"]}"
    headers = {"Content-Type": content_type}
    assert (await client.post(BATCH, content=body, headers=headers)).status_code == 201
    assert (await client.post(TRACK, content=twice)).status_code == 201
    kept = {bytes(event.properties) for event in stored()}
    assert kept == {b'{"revenue":999,"a":{"b":[{"c":2}]}}', b'{"revenue":999,"x":"\\":"}'}
    (normalized,) = (await client.post(VALIDATE, content=twice)).json()["data"]["normalized"]
    assert normalized["properties"]["revenue"] == 999


async def test_counts_are_conserved(client: httpx.AsyncClient, stored: Stored, refused: Refused) -> None:
    events = [{"event_name": "a" if n % 10 else "A", "event_id": str(n // 2)} for n in range(1000)]
    data = (await client.post(BATCH, json={"events": events})).json()["data"]
    duplicates = sum(result["status"] == "duplicate" for result in data["results"])
    assert data["accepted"] + data["rejected"] + duplicates == 1000
    assert (len(stored()), len(refused())) == (data["accepted"], data["rejected"])
    assert data["rejected"] == 100


async def test_validate_checks_all_and_stores_nothing(client: httpx.AsyncClient, sink: MemorySink) -> None:
    events = [
        {"event_name": "a", "event_id": "x", "timestamp": "2024-01-15T10:30:00+08:00"},
        {"event_name": "A"},
        {"event_name": "b", "context": {"campaign": {"source": "baidu"}}},
    ]
    data = (await client.post(VALIDATE, json={"events": events})).json()["data"]
    assert data["valid"] is False
    (error,) = data["errors"]
    assert (error["index"], error["code"]) == (1, "INVALID_EVENT_NAME")
    first, second = data["normalized"]
    assert (first["event_id"], first["timestamp"]) == ("x", "2024-01-15T02:30:00.000Z")
    assert (second["index"], second["event_id"], second["campaign"]) == (2, None, {"source": "baidu"})
    assert sink.records == []


@pytest.mark.parametrize(
    "event",
    [
        {"event_name": "a"},
        {"event_name": "Purchase-Complete"},
        {},
        {"event_name": "a", "user_id": "null"},
        {"event_name": "a", "timestamp": "2010-01-01T00:00:00Z"},
        {"event_name": "a", "properties": {"a": "x" * 33_000}},
    ],
)
async def test_validate_says_what_track_and_batch_do(client: httpx.AsyncClient, event: dict[str, Any]) -> None:
    tracked = await client.post(TRACK, json=event)
    batched = (await client.post(BATCH, json={"events": [event]})).json()["data"]["results"][0]
    validated = (await client.post(VALIDATE, json=event)).json()["data"]
    assert validated["valid"] is (tracked.status_code == 201) is (batched["status"] == "accepted")
    if not validated["valid"]:
        codes = {validated["errors"][0]["code"], batched["error"]["code"], error_of(tracked)["code"]}
        assert len(codes) == 1


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
    body = gzip.compress(QUICK_START.encode())
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

    monkeypatch.setattr("services.gateway.report.check_event", crash)
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
