"""Input that must be refused, over real HTTP: each gets its documented error, and none takes anything else down."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from deploy.demo.product import Product

MEGABYTE = 1024 * 1024


def event(**fields: Any) -> bytes:
    return json.dumps({"event_name": "page_view"} | fields).encode()


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels - 1):
        inner = {"a": inner}
    return inner


REFUSED = [
    ("empty body", b"", "INVALID_PARAMETER", None),
    ("JSON that ends early", b'{"event_name": "page_view"', "INVALID_PARAMETER", None),
    ("no JSON at all", b"event_name=page_view", "INVALID_PARAMETER", None),
    ("an array", b"[]", "INVALID_PARAMETER", None),
    ("a string", b'"page_view"', "INVALID_PARAMETER", None),
    ("null", b"null", "INVALID_PARAMETER", None),
    ("invalid UTF-8", b'{"event_name": "page_view", "user_id": "\xff\xfe"}', "INVALID_PARAMETER", None),
    ("not a number", b'{"event_name": "page_view", "properties": {"x": NaN}}', "INVALID_PARAMETER", None),
    ("100,000 brackets", b'{"event_name": "a", "properties": ' + b"[" * 100_000, "PAYLOAD_TOO_LARGE", None),
    ("20,000 brackets", b'{"event_name": "a", "properties": ' + b"[" * 20_000, "INVALID_PARAMETER", None),
    ("no name", b"{}", "MISSING_REQUIRED_FIELD", "event_name"),
    ("an empty name", event(event_name=""), "MISSING_REQUIRED_FIELD", "event_name"),
    ("a name with a blank", event(event_name="APP INSTALL"), "INVALID_EVENT_NAME", "event_name"),
    ("a name with a dash", event(event_name="Purchase-Complete"), "INVALID_EVENT_NAME", "event_name"),
    ("a long name", event(event_name="a" * 65), "INVALID_EVENT_NAME", "event_name"),
    ("a name that is a number", event(event_name=5), "INVALID_EVENT_NAME", "event_name"),
    ("a time in words", event(timestamp="yesterday"), "INVALID_PARAMETER", "timestamp"),
    ("a time without zone", event(timestamp="2026-01-15T10:30:00"), "INVALID_PARAMETER", "timestamp"),
    ("a time as a number", event(timestamp=1_700_000_000), "INVALID_PARAMETER", "timestamp"),
    ("a day that is none", event(timestamp="2026-02-30T10:30:00Z"), "INVALID_PARAMETER", "timestamp"),
    ("the year 9999", event(timestamp="9999-12-31T23:59:59Z"), "INVALID_PARAMETER", "timestamp"),
    ("the year 1", event(timestamp="0001-01-01T00:00:00Z"), "INVALID_PARAMETER", "timestamp"),
    ("a time before the history", event(timestamp="2010-01-01T00:00:00Z"), "INVALID_PARAMETER", "timestamp"),
    ("a user that is a number", event(user_id=5), "INVALID_PARAMETER", "user_id"),
    ("a placeholder for a user", event(user_id="undefined"), "INVALID_PARAMETER", "user_id"),
    ("a placeholder for a browser", event(anonymous_id="0"), "INVALID_PARAMETER", "anonymous_id"),
    ("a long user", event(user_id="u" * 201), "INVALID_PARAMETER", "user_id"),
    ("an event id with a blank", event(event_id="a b"), "INVALID_PARAMETER", "event_id"),
    ("a long event id", event(event_id="e" * 65), "INVALID_PARAMETER", "event_id"),
    ("properties in a list", event(properties=[1]), "INVALID_PARAMETER", "properties"),
    ("properties nine deep", event(properties=nested(9)), "INVALID_PARAMETER", "properties"),
    ("a context that is a text", event(context="x"), "INVALID_PARAMETER", "context"),
    ("a page that is a number", event(context={"page": 5}), "INVALID_PARAMETER", "context.page"),
    ("an event of 33 KB", event(properties={"x": "y" * 33 * 1024}), "PAYLOAD_TOO_LARGE", None),
    ("a body of 6 MB", event(properties={"x": "y" * 6 * MEGABYTE}), "PAYLOAD_TOO_LARGE", None),
]


def refusal(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The `details` of the failure envelope."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body["success"] is False
    assert body["error"]["code"] == code
    assert body["error"]["message"]
    details: dict[str, Any] = body["error"]["details"]
    return details


@pytest.fixture(autouse=True)
def _the_product_goes_on(product: Product, api: httpx.Client) -> Any:
    """After each of these a good event is accepted as before."""
    yield
    product.check_running()
    assert api.post("/v1/events/track", json={"event_name": "page_view"}).status_code == 201


@pytest.mark.parametrize(("body", "code", "field"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_single_event(api: httpx.Client, body: bytes, code: str, field: str | None) -> None:
    response = api.post("/v1/events/track", content=body, headers={"Content-Type": "application/json"})
    details = refusal(response, 400, code)
    if field is not None:
        assert details["field"] == field
    if code == "PAYLOAD_TOO_LARGE":
        assert details["actual"] > details["limit"]


def test_a_bad_name_comes_with_a_better_one(api: httpx.Client) -> None:
    response = api.post("/v1/events/track", json={"event_name": "APP INSTALL"})
    assert refusal(response, 400, "INVALID_EVENT_NAME")["suggestion"] == "app_install"


def test_eight_levels_are_allowed(api: httpx.Client) -> None:
    assert api.post("/v1/events/track", content=event(properties=nested(8))).status_code == 201


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    "header", [None, b"Bearer ak_test_nobody", b"Bearer", b"Basic dXNlcjpwYXNz", "Bearer clé".encode("latin-1")]
)
def test_without_a_valid_key(api: httpx.Client, method: str, header: bytes | None) -> None:
    headers = {} if header is None else {b"Authorization": header}
    with httpx.Client(base_url=api.base_url, trust_env=False) as stranger:
        path = "/v1/events/track" if method == "POST" else "/v1/events"
        refusal(stranger.request(method, path, headers=headers), 401, "INVALID_API_KEY")


def test_unknown_paths_and_methods(api: httpx.Client) -> None:
    refusal(api.get("/v1/nothing/here"), 404, "NOT_FOUND")
    refusal(api.get("/v1/events/no-such-event"), 404, "NOT_FOUND")
    refusal(api.delete("/v1/events/track"), 405, "METHOD_NOT_ALLOWED")


BATCHES = [
    ("no JSON", b"{", "INVALID_PARAMETER", None),
    ("no events", b"{}", "MISSING_REQUIRED_FIELD", "events"),
    ("an empty list", b'{"events": []}', "MISSING_REQUIRED_FIELD", "events"),
    ("events in an object", b'{"events": {}}', "INVALID_PARAMETER", "events"),
    ("1,001 events", json.dumps({"events": [{}] * 1_001}).encode(), "PAYLOAD_TOO_LARGE", "events"),
    ("6 MB", b'{"events": ["' + b"x" * 6 * MEGABYTE + b'"]}', "PAYLOAD_TOO_LARGE", None),
]


@pytest.mark.parametrize(("body", "code", "field"), [c[1:] for c in BATCHES], ids=[c[0] for c in BATCHES])
def test_batch_refused_whole(api: httpx.Client, body: bytes, code: str, field: str | None) -> None:
    response = api.post("/v1/events/batch", content=body, headers={"Content-Type": "application/json"})
    details = refusal(response, 400, code)
    assert field is None or details["field"] == field


def test_a_body_that_inflates_past_the_limit(api: httpx.Client) -> None:
    bomb = gzip.compress(b'{"events": [' + b" " * 64 * MEGABYTE)
    response = api.post("/v1/events/batch", content=bomb, headers={"Content-Encoding": "gzip"})
    assert len(bomb) < MEGABYTE
    refusal(response, 400, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_bad_events_cost_their_neighbours_nothing(
    api: httpx.Client, eventually: Callable[..., Any], data: Callable[..., Any], form: str
) -> None:
    good = [f"neighbour-{form}-{index}" for index in range(3)]
    lines = [
        event(event_id=good[0]),
        event(event_name="Bad Name"),
        event(event_id=good[1]),
        event(timestamp="soon"),
        b'{"event_name": "page_view", "properties": ' + b"[" * 15_000 + b"]" * 15_000 + b"}",
        event(event_id=good[2]),
    ]
    if form == "ndjson":
        lines.insert(4, b'{"event_name": "page_v')
        response = post_batch(api, b"\n".join(lines), "application/x-ndjson")
    else:
        lines[4] = b'{"event_name": "page_view", "properties": []}'
        response = post_batch(api, b'{"events": [' + b",".join(lines) + b"]}", "application/json")
    answer = data(response, 201)
    statuses = [result["status"] for result in answer["results"]]
    assert statuses == ["accepted", "rejected", "accepted", *["rejected"] * (len(lines) - 4), "accepted"]
    assert (answer["accepted"], answer["rejected"]) == (3, len(lines) - 3)
    error = answer["results"][1]["error"]
    assert (error["code"], error["details"]["field"]) == ("INVALID_EVENT_NAME", "events[1].event_name")
    for event_id in good:
        eventually(lambda event_id=event_id: api.get(f"/v1/events/{event_id}").status_code == 200)


def post_batch(api: httpx.Client, body: bytes, content_type: str) -> httpx.Response:
    return api.post("/v1/events/batch", content=body, headers={"Content-Type": content_type})


def test_a_batch_of_bad_events_only(api: httpx.Client, data: Callable[..., Any]) -> None:
    answer = data(api.post("/v1/events/batch", json={"events": [{}, {"event_name": "A B"}]}), 200)
    assert (answer["accepted"], answer["rejected"]) == (0, 2)
    assert [result["error"]["code"] for result in answer["results"]] == [
        "MISSING_REQUIRED_FIELD",
        "INVALID_EVENT_NAME",
    ]
