"""Whatever comes in, an answer of the contract goes out, and what was accepted can be read back."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import ErrorCode
from schemas.events import AcceptedEvent
from schemas.ids import partition_for
from schemas.persons import person_key
from schemas.topics import Topic
from services.gateway.sink import MemorySink

PATHS = st.sampled_from(["/v1/events/track", "/v1/events/batch", "/v1/events/validate"])
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
FIELDS = ["event_name", "event_id", "user_id", "anonymous_id", "timestamp", "sent_at", "properties", "context"]
ODD_EVENTS = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), JSON, max_size=6)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
GOOD_EVENTS = st.fixed_dictionaries(
    {"event_name": st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)},
    optional={
        "user_id": st.from_regex(r"u-[a-z0-9]{1,9}", fullmatch=True),
        "anonymous_id": st.from_regex(r"a-[a-z0-9]{1,9}", fullmatch=True),
        "properties": st.dictionaries(
            TEXT,
            TEXT | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.lists(TEXT),
        ),
    },
)


@pytest.fixture
def gateway(make_app: Callable[..., FastAPI], make_client: Callable[[FastAPI], httpx.AsyncClient]) -> httpx.AsyncClient:
    return make_client(make_app())


def check_contract(response: httpx.Response) -> None:
    body = response.json()
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert response.status_code in (200, 201, 400, 401)
    if response.status_code < 400:
        assert body.keys() == {"success", "data"}
        assert body["success"] is True
    else:
        assert body.keys() == {"success", "error"}
        assert body["error"].keys() == {"code", "message", "details"}
        assert ErrorCode(body["error"]["code"]).status == response.status_code


@SHARED
@given(
    path=PATHS,
    body=st.binary(max_size=300),
    content_type=st.sampled_from(["application/json", "application/x-ndjson", "text/plain"]) | TEXT.map(str.encode),
    coding=st.sampled_from([b"gzip", b"br", b"zstd", b"deflate", b""]) | st.binary(max_size=5),
)
async def test_any_bytes(gateway: httpx.AsyncClient, path: str, body: bytes, content_type: Any, coding: bytes) -> None:
    given_type = content_type if isinstance(content_type, bytes) else content_type.encode()
    headers = {b"content-type": given_type, b"content-encoding": coding}
    check_contract(await gateway.post(path, content=body, headers=headers))


@SHARED
@given(path=PATHS, events=st.lists(ODD_EVENTS | JSON, max_size=4), wraps=st.booleans(), by_line=st.booleans())
async def test_any_json(gateway: httpx.AsyncClient, path: str, events: list[Any], wraps: bool, by_line: bool) -> None:
    body = "\n".join(map(json.dumps, events)) if by_line else json.dumps({"events": events} if wraps else events)
    headers = {"Content-Type": "application/x-ndjson" if by_line else "application/json"}
    check_contract(await gateway.post(path, content=body.encode(), headers=headers))


@SHARED
@given(authorization=st.binary(max_size=60), request_id=st.binary(max_size=150), language=st.binary(max_size=60))
async def test_any_headers(
    gateway: httpx.AsyncClient, authorization: bytes, request_id: bytes, language: bytes
) -> None:
    headers = {b"authorization": authorization, b"x-request-id": request_id, b"accept-language": language}
    response = await gateway.post("/v1/events/track", content=b"{}", headers=headers)
    assert response.status_code == 401
    check_contract(response)


@SHARED
@given(events=st.lists(GOOD_EVENTS, min_size=1, max_size=5))
async def test_whatever_is_accepted_can_be_read_back(
    gateway: httpx.AsyncClient, sink: MemorySink, events: list[dict[str, Any]]
) -> None:
    sink.records.clear()
    response = await gateway.post("/v1/events/batch", json={"events": events})
    assert response.status_code == 201
    ids = [result["event_id"] for result in response.json()["data"]["results"]]
    stored: dict[str, AcceptedEvent] = {}
    for topic, partition, value in sink.records:
        assert topic in (Topic.EVENTS, Topic.PEOPLE)
        if topic is Topic.PEOPLE:
            continue
        for event in msgspec.json.Decoder(AcceptedEvent).decode_lines(value):
            key = person_key(event.user_id, event.anonymous_id, event.event_id)
            assert partition == partition_for("shop", key, 4)
            stored[event.event_id] = event
    assert list(map(stored.__contains__, ids)) == [True] * len(events)
    for event_id, sent in zip(ids, events, strict=True):
        kept = stored[event_id]
        assert (kept.event_name, kept.user_id, kept.anonymous_id) == (
            sent["event_name"],
            sent.get("user_id", ""),
            sent.get("anonymous_id", ""),
        )
        assert json.loads(bytes(kept.properties)) == sent.get("properties", {})
