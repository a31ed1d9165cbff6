"""The three endpoints as callers see them, over the real code and a sink in memory."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from answers import error_of
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
