"""The door for Segment's SDKs: keys, limits, answers, and the same way as `POST /v1/events/batch`."""

import base64
import gzip
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.control import App, Scope, Snapshot
from schemas.errors import ErrorCode
from schemas.events import AcceptedEvent
from schemas.facts import RejectedRow
from services.gateway import segment_api
from services.gateway.segment import KINDS

KEY = "ak_test_write"
BATCH = "/segment/v1/batch"
DONE = {"success": True}
Stored = Callable[[], list[AcceptedEvent]]
Refused = Callable[[], list[RejectedRow]]


@pytest.fixture
async def send(make_app: Callable[..., FastAPI]) -> Callable[..., Any]:
    """`send(path, body, key=…)`: as a server's SDK does; without a key, as a page's does."""
    transport = httpx.ASGITransport(make_app(), client=("198.51.100.7", 4711))

    async def send(path: str, body: Any, key: str | None = KEY, **headers: str) -> httpx.Response:
        given = {"Content-Type": "application/json", "Accept-Language": "en"} | headers
        if key is not None:
            given["Authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.post(path, content=content, headers=given)

    return send


def message(number: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Signed Up", "messageId": f"m{number}", "userId": "u"} | fields


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_short", [False, True])
async def test_each_call_has_its_path(send: Any, stored: Stored, kind: str, is_short: bool) -> None:
    path = "/segment/v1/" + (kind[0] if is_short else kind)
    answer = await send(path, {"event": "a", "messageId": "m-1", "userId": "u", "previousId": "p"})
    assert (answer.status_code, answer.json()) == (200, DONE)
    (event,) = stored()
    assert (event.event_id, event.user_id, event.key_id) == ("m-1", "u", "key_write")
    assert json.loads(bytes(event.properties))["segment"]["type"] == kind


@pytest.mark.parametrize("path", [BATCH, "/segment/v1/import"])
async def test_one_bad_message_is_a_reject_and_the_others_are_stored(
    send: Any, stored: Stored, refused: Refused, path: str
) -> None:
    bad = [message(userId="null"), 5, message(properties="x")]
    answer = await send(path, {"batch": [message(1), *bad, message(2), message(1)], "writeKey": KEY})
    assert (answer.status_code, answer.json()) == (200, DONE)
    assert [event.event_id for event in stored()] == ["m1", "m2"]
    assert [(row.field, row.key_id) for row in refused()] == [
        ("events[1].user_id", "key_write"),
        ("events[2]", "key_write"),
        ("events[3].properties", "key_write"),
    ]
    alone = await send(path, {"batch": bad})
    assert (alone.status_code, alone.json()) == (200, DONE)


async def test_a_pages_sdk_has_its_key_in_the_body(send: Any, stored: Stored, refused: Refused) -> None:
    page = {"Origin": "https://shop.example", "Content-Type": "text/plain"}
    answer = await send("/segment/v1/t", message(writeKey=KEY), key=None, **page)
    assert (answer.status_code, answer.json()) == (200, DONE)
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert (await send(BATCH, {"batch": [message(1)], "writeKey": KEY}, key=None, **page)).status_code == 200
    events = stored()
    assert [event.event_id for event in events] == ["m0", "m1"]
    assert KEY.encode() not in b"".join(bytes(event.properties) for event in events)
    await send(BATCH, {"batch": 5, "writeKey": KEY}, key=None)
    assert [row.field for row in refused()] == ["batch"]
    assert KEY not in refused()[0].payload


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [
        (None, {}, 401),
        ("nobody", {"writeKey": KEY}, 401),
        (None, {"writeKey": "nobody"}, 401),
        (None, {"writeKey": "ak_test_revoked"}, 401),
        ("ak_test_read", {}, 403),
        ("", {"writeKey": KEY}, 401),
    ],
)
async def test_who_has_no_key_that_writes_is_refused(
    send: Any, stored: Stored, key: str | None, body: dict[str, Any], status: int
) -> None:
    answer = await send(BATCH, body | {"batch": [message()]}, key=key)
    assert answer.status_code == status
    assert answer.json()["code"] == answer.json()["error"]["code"]
    assert stored() == []


async def test_errors_are_where_its_sdks_look_for_them(send: Any, refused: Refused) -> None:
    """Its Python SDK takes an error without `code` and `message` for one of the network."""
    answer = await send(BATCH, b"{")
    body = answer.json()
    assert (answer.status_code, body["code"]) == (400, ErrorCode.INVALID_PARAMETER)
    assert body["message"] == body["error"]["message"]
    assert body["success"] is False
    assert [row.field for row in refused()] == ["body"]


async def test_its_limits(send: Any, stored: Stored, refused: Refused) -> None:
    large = [message(number, properties={"x": "y" * 30_000}) for number in range(16)]
    assert (await send(BATCH, {"batch": large})).status_code == 200
    assert len(stored()) == 16
    answer = await send(BATCH, {"batch": large + large})
    assert (answer.status_code, answer.json()["code"]) == (400, ErrorCode.PAYLOAD_TOO_LARGE)
    assert answer.json()["error"]["details"]["limit"] == 500 * 1024
    one = message(99, properties={"x": "y" * 33_000})
    assert (await send("/segment/v1/track", one)).json()["code"] == ErrorCode.PAYLOAD_TOO_LARGE
    assert (await send(BATCH, {"batch": [one, message(98)]})).status_code == 200
    assert [event.event_id for event in stored()][16:] == ["m98"]
    assert refused()[-1].code == ErrorCode.PAYLOAD_TOO_LARGE


async def test_a_body_whose_key_is_inside_is_small(send: Any) -> None:
    body = {"writeKey": KEY, "batch": [message(properties={"x": "y" * 30_000}) for _ in range(3)]}
    answer = await send(BATCH, body, key=None)
    assert (answer.status_code, answer.json()["code"]) == (400, ErrorCode.PAYLOAD_TOO_LARGE)
    assert answer.json()["error"]["details"]["limit"] == segment_api.MAX_STRANGERS_BODY_BYTES
    assert (await send(BATCH, body)).status_code == 200


async def test_strangers_bodies_have_a_budget_of_their_own(
    make_app: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_api, "STRANGERS_BUDGET_BYTES", 16_384)
    transport = httpx.ASGITransport(make_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        body = json.dumps(message(writeKey=KEY, properties={"x": "y" * 20_000}))
        full = await client.post("/segment/v1/t", content=body)
        assert (full.status_code, full.headers["retry-after"]) == (500, "1")
        basic = {"Authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()}
        assert (await client.post("/segment/v1/t", content=body, headers=basic)).status_code == 200


async def test_gzip(send: Any, stored: Stored) -> None:
    body = gzip.compress(json.dumps({"batch": [message(n) for n in range(300)]}).encode())
    headers = {"Content-Encoding": "gzip"}
    assert (await send(BATCH, body, **headers)).json() == DONE
    assert len(stored()) == 300


async def test_it_stores_what_batch_stores(send: Any, stored: Stored, client: httpx.AsyncClient) -> None:
    context = {"ip": "203.0.113.9", "userAgent": "Googlebot/2.1", "page": {"url": "https://a.example/?gclid=1"}}
    times = {"timestamp": "2026-01-15T10:30:00Z", "sentAt": "2026-01-15T10:30:01Z"}
    await send(BATCH, {"batch": [message(1, context=context, properties={"a": 1}, **times)]})
    ours = {
        "event_name": "signed_up",
        "event_id": "m1",
        "user_id": "u",
        "timestamp": times["timestamp"],
        "sent_at": times["sentAt"],
        "properties": {"a": 1, "segment": {"type": "track", "event": "Signed Up"}},
        "context": {"ip": context["ip"], "user_agent": context["userAgent"], "page": context["page"]},
    }
    assert (await client.post("/v1/events/batch", json={"events": [ours]})).status_code == 201
    theirs, own = stored()
    assert replace_times(theirs) == replace_times(own)
    assert theirs.is_bot


def replace_times(event: AcceptedEvent) -> AcceptedEvent:
    event.received_us = event.timestamp_ms = 0
    return event


@pytest.fixture
def snapshot(snapshot: Snapshot) -> Snapshot:
    """As in other tests, with a key that may read and write."""
    from hashlib import sha256

    both = replace(next(iter(snapshot.keys_by_sha256.values())), scopes=frozenset(Scope))
    digest = sha256(b"ak_test_both").hexdigest()
    apps = snapshot.apps | {"blog": App("blog", "Blog")}
    keys = snapshot.keys_by_sha256 | {digest: replace(both, secret_sha256=digest)}
    return replace(snapshot, apps=apps, keys_by_sha256=keys)


async def test_a_key_that_reads_must_not_be_in_a_page_here_either(send: Any, stored: Stored) -> None:
    body = {"batch": [message()], "writeKey": "ak_test_both"}
    assert (await send(BATCH, body, key=None, Origin="https://shop.example")).status_code == 403
    assert stored() == []
    assert (await send(BATCH, body, key="ak_test_both")).status_code == 200


async def test_other_methods_and_paths(make_app: Callable[..., FastAPI]) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(make_app()), base_url="http://gateway") as client:
        assert (await client.get(BATCH)).status_code == 405
        assert (await client.post("/segment/v1/m", json={})).status_code == 404


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(path=st.sampled_from(sorted(segment_api.KIND_OF)), body=st.binary(max_size=80), wraps=st.booleans())
async def test_any_bytes_get_an_answer(send: Any, path: str, body: bytes, wraps: bool) -> None:
    content = b'{"batch": [' + body + b"]}" if wraps else body
    answer = await send("/segment/v1/" + path, content)
    assert answer.status_code in (200, 400)
    assert answer.json() == DONE or answer.json()["error"]["code"] == answer.json()["code"]


@pytest.mark.parametrize("field", ["x", "event", "context", "properties", "timestamp", "batch"])
@pytest.mark.parametrize("opening", ["[]", "{}"])
async def test_no_depth_is_a_crash(send: Any, field: str, opening: str) -> None:
    start, end = ("[", "]") if opening == "[]" else ('{"a":', "}")
    for levels in (*range(sys.getrecursionlimit() - 300, sys.getrecursionlimit() + 20, 5), 5_000):
        deep = start * levels + "1" + end * levels
        odd = f'{{"type":"track","event":"a","userId":"u","{field}":{deep}}}'
        for path, body in (
            ("track", odd),
            ("batch", f'{{"batch":[{odd}]}}'),
            ("batch", f'{{"batch":[{{}}],"x":{deep}}}'),
        ):
            answer = await send("/segment/v1/" + path, body.encode())
            assert answer.status_code in (200, 400), (path, levels)
