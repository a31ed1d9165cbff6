"""Segment's messages as events of ours: the mapping, which never raises and leaves nothing out."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ErrorCode
from schemas.events import MAX_BATCH_EVENTS, MAX_PROPERTY_DEPTH
from services.gateway.body_split import events_of
from services.gateway.outcomes import Accepted, Rejected, judge
from services.gateway.segment import BATCH, KINDS, event_of, key_in_basic, key_in_body, pieces_of
from services.gateway.validate import Receipt
from services.web.errors import ApiError

TIME = "2024-01-15T10:30:00.123Z"
SENT = "2024-01-15T10:31:40Z"
CONTEXT = {
    "ip": "203.0.113.9",
    "userAgent": "Mozilla/5.0",
    "locale": "de-DE",
    "page": {"url": "https://shop.example/?a=1", "title": "Shop", "referrer": "https://www.google.com/", "path": "/"},
    "campaign": {"source": "google", "medium": "cpc", "name": 7, "content": None, "id": "c1"},
    "library": {"name": "analytics.js", "version": "2.0"},
}


def mapped(**message: Any) -> dict[str, Any]:
    return event_of(message)


def test_a_track_call() -> None:
    event = mapped(
        type="track",
        event="Order Completed",
        messageId="m-1",
        userId=42,
        anonymousId="a-1",
        timestamp=TIME,
        sentAt=SENT,
        properties={"revenue": 19.9},
        context=CONTEXT,
        integrations={"All": False},
        writeKey="ak_secret",
        channel="server",
    )
    assert event == {
        "event_name": "order_completed",
        "event_id": "m-1",
        "user_id": "42",
        "anonymous_id": "a-1",
        "timestamp": TIME,
        "sent_at": SENT,
        "context": {
            "page": {"url": "https://shop.example/?a=1", "title": "Shop", "referrer": "https://www.google.com/"},
            "campaign": {"source": "google", "medium": "cpc", "name": "7"},
            "ip": "203.0.113.9",
            "user_agent": "Mozilla/5.0",
            "locale": "de-DE",
        },
        "properties": {
            "revenue": 19.9,
            "segment": {
                "type": "track",
                "event": "Order Completed",
                "integrations": {"All": False},
                "channel": "server",
                "context": {
                    "page": {"path": "/"},
                    "campaign": {"content": None, "id": "c1"},
                    "library": {"name": "analytics.js", "version": "2.0"},
                },
            },
        },
    }


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            {"type": "page", "name": "Home", "properties": {"url": "https://a.example/"}},
            ("page_view", {"name": "Home"}),
        ),
        ({"type": "screen", "category": "Docs", "name": "Read"}, ("screen_view", {"name": "Read", "category": "Docs"})),
        ({"type": "identify", "traits": {"plan": "pro"}}, ("identify", {"plan": "pro"})),
        ({"type": "group", "groupId": "g1", "traits": {"size": 3}}, ("group", {"group_id": "g1", "size": 3})),
        ({"type": "alias", "previousId": "before"}, ("alias", {})),
        ({"event": "signed up"}, ("signed_up", {})),
        ({"type": "page", "name": "Home", "properties": {"name": "Other"}}, ("page_view", {"name": "Other"})),
    ],
)
def test_what_each_call_becomes(message: dict[str, Any], expected: tuple[str, dict[str, Any]]) -> None:
    event = event_of(message)
    assert event["event_name"] == expected[0]
    assert event["properties"] | expected[1] == event["properties"]


def test_the_address_of_a_page_call_is_the_events() -> None:
    event = mapped(type="page", properties={"url": "https://a.example/?utm_source=x", "title": "A"})
    assert event["context"]["page"] == {"url": "https://a.example/?utm_source=x", "title": "A"}


def test_identify_and_alias_carry_both_ids_which_merges_the_two() -> None:
    identify = mapped(type="identify", userId="u", anonymousId="a")
    assert (identify["user_id"], identify["anonymous_id"]) == ("u", "a")
    alias = mapped(type="alias", userId="u", previousId="before", anonymousId="a")
    assert (alias["user_id"], alias["anonymous_id"]) == ("u", "before")
    assert alias["properties"]["segment"]["anonymousId"] == "a"


@pytest.mark.parametrize(
    ("name", "becomes", "kept"),
    [
        ("page_view", "page_view", False),
        ("Clicked 'Buy' Now!", "clicked_buy_now", True),
        ("productViewed", "product_viewed", True),
        ("购买", "购买", False),
        (None, None, False),
        (5, 5, False),
    ],
)
def test_names_of_events(name: Any, becomes: Any, kept: bool) -> None:
    event = mapped(type="track", event=name)
    assert event.get("event_name") == becomes
    assert ("event" in event["properties"]["segment"]) is kept


@pytest.mark.parametrize("message_id", ["a b", "x" * 65, "订单-1"])
def test_an_id_that_is_none_of_ours_still_tells_a_repeat(message_id: str) -> None:
    first, again = (mapped(event="a", messageId=message_id) for _ in range(2))
    assert first["event_id"] == again["event_id"] != mapped(event="a", messageId=message_id + "x")["event_id"]
    assert first["properties"]["segment"]["messageId"] == message_id


def test_times() -> None:
    offline = mapped(event="a", originalTimestamp=TIME, timestamp=SENT, sentAt=SENT)
    assert (offline["timestamp"], offline["sent_at"]) == (TIME, SENT)
    forwarded = mapped(event="a", originalTimestamp="x", timestamp=TIME, sentAt=SENT, receivedAt=SENT)
    assert forwarded["timestamp"] == TIME, "Segment has corrected it"
    assert "sent_at" not in forwarded
    odd = mapped(event="a", timestamp=TIME, sentAt="yesterday")
    assert "sent_at" not in odd
    assert odd["properties"]["segment"]["sentAt"] == "yesterday"


def test_what_all_messages_of_a_batch_share() -> None:
    one = {"event": "a", "context": {"locale": "de"}}
    body = {"batch": [one, {"event": "b"}], "context": {"locale": "en", "ip": "1.1.1.1"}, "sentAt": SENT, "x": 1}
    events = [json.loads(piece) for piece in pieces_of(json.dumps(body).encode(), BATCH)]
    assert [event["context"] for event in events] == [{"ip": "1.1.1.1", "locale": lang} for lang in ("de", "en")]
    assert {event["sent_at"] for event in events} == {SENT}
    assert [event["properties"]["segment"]["x"] for event in events] == [1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_path_says_what_a_single_message_is(kind: str) -> None:
    (piece,) = pieces_of(b'{"event": "a", "type": "other"}', kind)
    event = json.loads(piece)
    assert event["properties"]["segment"]["type"] == kind


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"[]", ErrorCode.INVALID_PARAMETER, "body"),
        (b"{", ErrorCode.INVALID_PARAMETER, "body"),
        (b"{}", ErrorCode.MISSING_REQUIRED_FIELD, "batch"),
        (b'{"batch": []}', ErrorCode.MISSING_REQUIRED_FIELD, "batch"),
        (b'{"batch": {}}', ErrorCode.INVALID_PARAMETER, "batch"),
        (b'{"batch": [' + b"0," * MAX_BATCH_EVENTS + b"0]}", ErrorCode.PAYLOAD_TOO_LARGE, "batch"),
        (b'{"x": "' + b"x" * 600 + b'", "batch": [' + b"0," * 999 + b"0]}", ErrorCode.PAYLOAD_TOO_LARGE, "body"),
    ],
)
def test_a_batch_that_is_none(body: bytes, code: ErrorCode, field: str) -> None:
    with pytest.raises(ApiError) as refused:
        pieces_of(body, BATCH)
    assert (refused.value.code, refused.value.field) == (code, field)


def test_a_broken_message_costs_its_batch_nothing(receipt: Receipt) -> None:
    broken = b'{"event": "b", "properties": {"x": NaN}}, {"event": "\\ud83d"}, 5'
    body = b'{"batch": [{"event": "a"}, ' + broken + b', {"event": "c"}]}'
    outcomes = judge(events_of(pieces_of(body, BATCH)), receipt)
    assert [isinstance(outcome, Accepted) for outcome in outcomes] == [True, False, False, False, True]
    assert [outcome.error.field for outcome in outcomes if isinstance(outcome, Rejected)] == [
        "events[1]", "events[2]", "events[3]",
    ]  # fmt: skip


def test_a_broken_message_takes_no_time_and_no_context_from_the_others() -> None:
    body = f'{{"sentAt": "{SENT}", "batch": [{{"event": NaN}}, {{"event": "a"}}], "context": {{"locale": "de"}}}}'
    broken, good = pieces_of(body.encode(), BATCH)
    assert broken == b'{"event": NaN}'
    event = json.loads(good)
    assert (event["sent_at"], event["context"]) == (SENT, {"locale": "de"})


def test_the_checks_are_those_of_any_event(receipt: Receipt) -> None:
    messages = [
        {"event": "a", "userId": "null"},
        {"event": "a", "timestamp": "2199-01-01T00:00:00Z"},
        {"event": "a", "properties": [1]},
        {"event": "a", "context": {"ip": "nowhere"}},
        {"event": "a", "userId": {"id": 5}},
        {"type": "unknown"},
        {"event": "购买"},
    ]
    outcomes = judge(events_of(pieces_of(json.dumps({"batch": messages}).encode(), BATCH)), receipt)
    fields = [outcome.error.field.partition(".")[2] for outcome in outcomes if isinstance(outcome, Rejected)]
    assert fields == ["user_id", "timestamp", "properties", "context.ip", "user_id", "event_name", "event_name"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
NAMES = (
    *("type", "event", "userId", "anonymousId", "previousId", "groupId", "messageId", "timestamp", "originalTimestamp"),
    *("sentAt", "receivedAt", "properties", "traits", "context", "integrations", "name", "category", "segment"),
)
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.dictionaries(st.sampled_from(["url", "title", "source", "name", "path"]), JSON, max_size=4)
        for name in ("page", "campaign", "userAgent", "locale", "library", "traits")
    },
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(NAMES, JSON) | {"type": st.sampled_from(KINDS) | JSON, "context": CONTEXTS | JSON},
) | st.dictionaries(st.text(max_size=6), JSON, max_size=4)


def leaves(value: Any) -> Iterator[str]:
    """All values in it that say something, as texts."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    elif value is not None and value != "":
        yield value if isinstance(value, str) else json.dumps(value)


@settings(max_examples=60)
@given(MESSAGES)
def test_nothing_is_left_out(message: dict[str, Any]) -> None:
    event = event_of(message)
    # What is nested too deep stands in texts, which are JSON.
    kept = list(leaves(event))
    text = "\n".join(kept) + json.dumps(event, ensure_ascii=False)
    for leaf in leaves(message):
        assert leaf in kept or leaf in text or json.dumps(leaf, ensure_ascii=False)[1:-1] in text, (leaf, event)


@settings(max_examples=40)
@given(st.lists(MESSAGES | JSON, max_size=4), st.dictionaries(st.sampled_from(["context", "sentAt", "x"]), JSON))
def test_any_batch_has_an_event_for_each_message(messages: list[Any], common: dict[str, Any]) -> None:
    pieces = pieces_of(json.dumps(common | {"batch": [*messages, {}]}).encode(), BATCH)
    assert len(pieces) == len(messages) + 1
    receipt = Receipt("shop", "key_write", 400, 1_705_314_700_000_000, "203.0.113.9", "curl/8.5.0", 7)
    assert len(judge(events_of(pieces), receipt)) == len(pieces)


@given(st.binary(max_size=60), st.sampled_from([*KINDS, BATCH]))
def test_any_bytes_are_refused_in_order_or_mapped(body: bytes, kind: str) -> None:
    with suppress(ApiError):
        assert pieces_of(body, kind)
    assert isinstance(key_in_body(body), bytes)
    assert isinstance(key_in_basic(b"Basic " + body), bytes)


def test_what_is_deep_or_wide_is_stored_all_the_same(receipt: Receipt) -> None:
    deep: Any = 2**70
    for _ in range(40):
        deep = {"a": deep}
    message = {"event": "a", "context": {"deep": deep, "wide": [2**70, -(2**63)]}}
    (outcome,) = judge(events_of(pieces_of(json.dumps(message).encode(), "track")), receipt)
    assert isinstance(outcome, Accepted)
    kept = json.loads(bytes(outcome.event.properties))["segment"]["context"]
    assert kept["wide"] == [str(2**70), -(2**63)]
    for _ in range(MAX_PROPERTY_DEPTH - 3):
        kept = kept["deep"] if "deep" in kept else kept["a"]
    assert str(2**70) in json.dumps(kept)


def test_keys() -> None:
    assert key_in_basic(b"Basic YWtfMTo=") == key_in_basic(b"basic YWtfMTp4 ") == b"ak_1"
    assert key_in_basic(b"Bearer YWtfMTo=") == key_in_basic(b"Basic !") == key_in_basic(b"") == b""
    assert key_in_body(b'{"batch": [], "writeKey": "ak_1"}') == b"ak_1"
    assert key_in_body(b'{"writeKey": 5}') == key_in_body(b"[") == b""
