"""Warnings as callers see them: of accepted events, in every answer of success, and never too many."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from schemas.control import DEFAULT_GOALS, Snapshot
from schemas.errors import WarningCode
from schemas.events import AcceptedEvent
from services.gateway.warnings import MAX_WARNINGS, Meant, nearest

TRACK, BATCH, VALIDATE = "/v1/events/track", "/v1/events/batch", "/v1/events/validate"
GOOD = {"event_name": "purchase", "user_id": "u-1", "properties": {"revenue": 5, "currency": "CNY"}}
REFUND = {"event_name": "refund", "user_id": "u"}
OLD = (datetime.now(UTC) - timedelta(days=2)).isoformat()


@pytest.fixture
def snapshot(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, apps={"shop": replace(snapshot.apps["shop"], goals=DEFAULT_GOALS)})


CASES: list[tuple[dict[str, Any], str, str, str]] = [
    (GOOD | {"userId": "u"}, "UNKNOWN_FIELD", "userId", "user_id"),
    (GOOD | {"shoe_size": 43}, "UNKNOWN_FIELD", "shoe_size", ""),
    ({"event_name": "page_view"}, "NO_PERSON", "user_id", ""),
    (GOOD | {"timestamp": OLD}, "MAY_BE_LATE", "timestamp", ""),
    ({"event_name": "refund", "user_id": "u", "properties": {"amount": 5}}, "NO_ORDER", "properties.order_id", ""),
    (GOOD | {"properties": {"revenue": "much"}}, "UNREADABLE_VALUE", "properties.revenue", ""),
    (GOOD | {"properties": {"revenue": -5}}, "UNREADABLE_VALUE", "properties.revenue", ""),
    (GOOD | {"properties": {"revenue": 5, "currency": "US$"}}, "UNREADABLE_CURRENCY", "properties.currency", "USD"),
    (GOOD | {"properties": {"revenue": 5, "currency": "euro"}}, "UNREADABLE_CURRENCY", "properties.currency", ""),
    (GOOD | {"properties": {"revenue": 5, "currency": 156}}, "UNREADABLE_CURRENCY", "properties.currency", ""),
    (GOOD | {"properties": {"revenue": "1.299"}}, "UNREADABLE_VALUE", "properties.revenue", ""),
    (GOOD | {"properties": {"revenue": "$5"}}, "UNREADABLE_VALUE", "properties.revenue", ""),
    (REFUND | {"properties": {"order_id": "A", "amount": "?"}}, "UNREADABLE_VALUE", "properties.amount", ""),
    (REFUND | {"properties": {"order_id": "A", "currency": "$"}}, "UNREADABLE_CURRENCY", "properties.currency", ""),
    (GOOD | {"properties": {"Revenue": 5}}, "UNKNOWN_VALUE_PROPERTY", "properties.Revenue", "revenue"),
    (GOOD | {"properties": {"revnue": 5}}, "UNKNOWN_VALUE_PROPERTY", "properties.revnue", "revenue"),
    (GOOD | {"properties": {"order_total": 5}}, "UNKNOWN_VALUE_PROPERTY", "properties.order_total", "revenue"),
    (GOOD | {"context": {"user_agent": "Googlebot/2.1"}}, "BOT", "context.user_agent", ""),
]


@pytest.mark.parametrize(("event", "code", "field", "suggestion"), CASES)
async def test_what_is_odd_is_accepted_and_told(
    client: httpx.AsyncClient,
    stored: Callable[[], list[AcceptedEvent]],
    event: dict[str, Any],
    code: str,
    field: str,
    suggestion: str,
) -> None:
    tracked = (await client.post(TRACK, json=event)).json()["data"]["warnings"]
    batched = (await client.post(BATCH, json={"events": [GOOD, event]})).json()["data"]["warnings"]
    looked_at_one_by_one = {"events": [GOOD, event, {"event_name": "Bad Name"}]}
    judged = (await client.post(BATCH + "?results=errors", json=looked_at_one_by_one)).json()["data"]["warnings"]
    validated = (await client.post(VALIDATE, json={"events": [GOOD, event]})).json()["data"]["warnings"]
    assert batched == judged == validated == [{"index": 1} | warning for warning in tracked]
    (told,) = tracked
    assert (told["code"], told["field"], told.get("suggestion", "")) == (code, field, suggestion)
    assert len(stored()) == 5
    english = (await client.post(TRACK, json=event, headers={"Accept-Language": "en"})).json()["data"]["warnings"]
    assert english[0]["message"].isascii()
    assert not told["message"].isascii()


@pytest.mark.parametrize(
    "event",
    [
        GOOD,
        {"event_name": "page_view", "anonymous_id": "a"},
        {"event_name": "purchase", "user_id": "u", "properties": {"order_id": "A"}},
        {"event_name": "purchase", "user_id": "u", "properties": {"revenue": "¥1,299.00", "currency": " rmb "}},
        {"event_name": "refund", "user_id": "u", "properties": {"order_id": "A", "amount": -5, "currency": ""}},
        {"event_name": "refund", "user_id": "u", "properties": {"order_id": "A", "amount": "5.00"}},
        {"event_name": "user_signup", "user_id": "u"},
    ],
)
async def test_what_is_in_order_has_no_warnings(client: httpx.AsyncClient, event: dict[str, Any]) -> None:
    for path, body in ((TRACK, event), (BATCH, {"events": [event]}), (VALIDATE, event)):
        data = (await client.post(path, json=body)).json()["data"]
        assert "warnings" not in data
        assert "more_warnings" not in data


@pytest.mark.parametrize("odd", [{"event_name": "page_view"}, {"event_name": "page_view", "x" * 1_000: 1}])
async def test_an_answer_holds_so_many_and_says_how_many_more(client: httpx.AsyncClient, odd: dict[str, Any]) -> None:
    answer = await client.post(BATCH + "?results=errors", json={"events": [odd] * 1_000})
    data = answer.json()["data"]
    assert len(data["warnings"]) == MAX_WARNINGS
    assert len(data["warnings"]) + data["more_warnings"] == 1_000 * (len(odd))
    assert len(answer.content) < 64 * 1024


@pytest.mark.parametrize("code", list(WarningCode))
def test_every_warning_has_words_in_both_languages(code: WarningCode) -> None:
    assert code.message("en").isascii()
    assert not code.message("zh").isascii()


@pytest.mark.parametrize(
    ("name", "meant"), [("userId", "user_id"), ("User-ID", "user_id"), ("usr_id", "user_id"), ("shoe_size", "")]
)
def test_the_nearest_name(name: str, meant: str) -> None:
    assert nearest(name, ("user_id", "event_name")) == meant


def test_a_request_of_many_different_names_has_only_some_looked_up() -> None:
    meant = Meant()
    assert [meant.by(f"x{number}", ("user_id",)) for number in range(49)] == [""] * 49
    assert [meant.by(name, ("user_id",)) for name in ("userId", "userid", "userId")] == ["user_id", "", "user_id"]
