"""Lists: every filter against the same filter in Python, every walk through the pages against the whole list."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from query_world import DAY_MS, FIRST_MS, World

from pipeline.runtime.clickhouse import ClickHouse
from schemas.events import AcceptedEvent
from schemas.facts import ConversionRow, encode_rows
from schemas.money import from_minor


def newest_first(events: list[AcceptedEvent]) -> list[str]:
    ordered = sorted(events, key=lambda event: (event.timestamp_ms, event.event_id), reverse=True)
    return [event.event_id for event in ordered]


async def walk(ask: Any, path: str, *segments: str, limit: int, **parameters: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        data = await ask(path, *segments, limit=limit, cursor=cursor, **parameters)
        assert len(data["items"]) <= limit
        items += data["items"]
        cursor = data["next_cursor"]
        if cursor is None:
            return items


async def test_events_are_all_there_newest_first(ask: Any, alpha: World) -> None:
    data = await ask("events", limit=1000)
    assert [item["event_id"] for item in data["items"]] == newest_first(alpha.events)
    assert data["next_cursor"] is None
    assert len(alpha.events) > 100


async def test_an_event_is_shown_as_it_was_accepted(ask: Any, alpha: World) -> None:
    shown = {item["event_id"]: item for item in (await ask("events", limit=1000))["items"]}
    for event in alpha.events[:20]:
        item = shown[event.event_id]
        assert item["properties"] == json.loads(bytes(event.properties), parse_float=Decimal)
        assert item["event_name"] == event.event_name
        assert item["user_id"] == (event.user_id or None)
        assert item["anonymous_id"] == (event.anonymous_id or None)
        assert item["context"]["page"]["url"] == event.page_url
        assert item["is_bot"] == event.is_bot
        assert item["key_id"] == event.key_id


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_a_walk_meets_every_event_once(ask: Any, alpha: World, limit: int) -> None:
    wanted = [event for event in alpha.events if event.event_name == "search"]
    items = await walk(ask, "events", limit=limit, event_name="search")
    assert [item["event_id"] for item in items] == newest_first(wanted)


async def test_the_default_is_a_hundred(ask: Any) -> None:
    data = await ask("events")
    assert len(data["items"]) == 100
    assert data["next_cursor"]


FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({"event_name": "purchase"}, lambda e: e.event_name == "purchase"),
    ({"event_name": ["purchase", "search"]}, lambda e: e.event_name in ("purchase", "search")),
    ({"user_id": "user4"}, lambda e: e.user_id == "user4"),
    ({"anonymous_id": "visitor6"}, lambda e: e.anonymous_id == "visitor6"),
    ({"from_": "2024-01-10", "tz": "UTC"}, lambda e: e.timestamp_ms >= FIRST_MS + 9 * DAY_MS),
    ({"to": "2024-01-10", "tz": "UTC"}, lambda e: e.timestamp_ms < FIRST_MS + 10 * DAY_MS),
    ({"to": "2024-01-10T00:00:00Z"}, lambda e: e.timestamp_ms < FIRST_MS + 9 * DAY_MS),
    (
        {"from_": "2024-01-10", "to": "2024-01-10"},
        lambda e: 0 <= e.timestamp_ms - FIRST_MS - 9 * DAY_MS + 28_800_000 < DAY_MS,
    ),
    ({"property.label": "it's"}, lambda e: prop(e, "label") == "it's"),
    ({"property.label": "a\\b", "property.is_new": "true"}, lambda e: prop(e, "label") == "a\\b" and prop(e, "is_new")),
    ({"property.is_new": "false"}, lambda e: not prop(e, "is_new")),
    ({"property.number": "17"}, lambda e: prop(e, "number") == 17),
    ({"property.number": "17.0"}, lambda e: prop(e, "number") == 17),
    ({"property.nothing": "null"}, lambda e: True),
    ({"property.missing": ""}, lambda e: False),
    ({"property.nested": '{"deep":[1,2]}'}, lambda e: True),
    ({"session_id": "ses_none"}, lambda e: False),
]


def prop(event: AcceptedEvent, name: str) -> Any:
    return msgspec.json.decode(event.properties)[name]


def _name(value: Any) -> str:
    return "" if callable(value) else str(value)[:40]


@pytest.mark.parametrize(("parameters", "is_wanted"), FILTERS, ids=_name)
async def test_event_filters(ask: Any, alpha: World, parameters: dict[str, Any], is_wanted: Any) -> None:
    wanted = newest_first([event for event in alpha.events if is_wanted(event)])
    data = await ask("events", limit=1000, **parameters)
    assert [item["event_id"] for item in data["items"]] == wanted


async def test_a_property_is_found_however_it_is_written(ask: Any, facts: ClickHouse) -> None:
    written = {
        "plain": b'{"tag":"abc","n":1.50}',
        "escaped": b'{"tag":"\\u0061bc","n":15e-1}',
        "spaced": b'{ "n" : 1.5 , "tag" : "abc" }',
        "longer": b'{"tag":"abcd","n":1.51}',
        "elsewhere": b'{"other":"abc","nested":{"tag":"abc","n":1.5}}',
    }
    for event_id, properties in written.items():
        event = AcceptedEvent("empty", event_id, "tagged", 5, 5, properties=msgspec.Raw(properties))
        await facts.insert_ndjson("events", encode_rows([event]))
    for value, wanted in (("abc", {"plain", "escaped", "spaced"}), ("abcd", {"longer"}), ("bc", set())):
        data = await ask("events", key="empty", event_name="tagged", **{"property.tag": value})
        assert {item["event_id"] for item in data["items"]} == wanted
    data = await ask("events", key="empty", event_name="tagged", **{"property.n": "1.500"})
    assert {item["event_id"] for item in data["items"]} == {"plain", "escaped", "spaced"}


async def test_events_of_a_session_are_those_of_its_person_and_time(ask: Any, alpha: World) -> None:
    for session in alpha.sessions[:10]:
        wanted = [
            event
            for event in alpha.events
            if session.start_ms <= event.timestamp_ms <= session.end_ms
            and ("u:" + event.user_id if event.user_id else "a:" + event.anonymous_id) == session.person_key
        ]
        data = await ask("events", session_id=session.session_id)
        assert [item["event_id"] for item in data["items"]] == newest_first(wanted)
        assert len(wanted) >= session.events


async def test_a_walk_is_steady_while_events_arrive(ask: Any, facts: ClickHouse) -> None:
    app = {"app_id": "empty", "event_name": "page_view", "received_us": 1, "user_id": "w"}
    first = [{"event_id": f"old{n}", "timestamp_ms": FIRST_MS + n % 3, **app} for n in range(10)]
    await facts.insert_ndjson("events", encode_rows(first))
    data = await ask("events", key="empty", limit=4)
    seen = [item["event_id"] for item in data["items"]]
    late = [{"event_id": f"new{n}", "timestamp_ms": FIRST_MS + n, **app} for n in range(8)]
    await facts.insert_ndjson("events", encode_rows(late))
    while data["next_cursor"]:
        data = await ask("events", key="empty", limit=4, cursor=data["next_cursor"])
        seen += [item["event_id"] for item in data["items"]]
    assert sorted(name for name in seen if name.startswith("old")) == sorted(row["event_id"] for row in first)
    assert len(seen) == len(set(seen))


async def test_conversions_are_all_there(ask: Any, alpha: World) -> None:
    items = await walk(ask, "conversions", limit=9)
    ordered = sorted(alpha.conversions, key=lambda row: (row.converted_at_ms, row.conversion_id), reverse=True)
    assert [item["conversion_id"] for item in items] == [row.conversion_id for row in ordered]
    for item, row in zip(items, ordered, strict=True):
        assert item["value"] == from_minor(row.value_minor - row.refunded_minor, row.currency)
        assert item["refunded"] == from_minor(row.refunded_minor, row.currency)
        assert item["goal_version"] == row.goal_version
        assert item["currency"] == row.currency
        assert item["path_length"] == len(row.path_channels)
        assert item["first_channel"] == (row.path_channels or ["direct"])[0]
        assert item["last_channel"] == (row.path_channels or ["direct"])[-1]


def left(row: ConversionRow) -> int:
    return row.value_minor - row.refunded_minor


def has_touch(row: ConversionRow, from_day: int = 0, **wanted: str) -> bool:
    """Whether one touch of the path has all of these."""
    fields = {"channel": row.path_channels, "source": row.path_sources, "campaign": row.path_campaigns}
    touches = zip(*(fields[name] for name in wanted), strict=True)
    return row.converted_at_ms >= FIRST_MS + from_day * DAY_MS and tuple(wanted.values()) in touches


CONVERSION_FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({"goal": "purchase"}, lambda c: c.goal == "purchase"),
    ({"goal": ["purchase", "user_signup"]}, lambda c: c.goal in ("purchase", "user_signup")),
    ({"goal": "never_heard_of"}, lambda c: False),
    ({"user_id": "user5"}, lambda c: c.user_id == "user5"),
    ({"currency": "JPY"}, lambda c: c.currency == "JPY"),
    ({"min_value": "500"}, lambda c: c.currency == "CNY" and left(c) >= 50_000),
    ({"min_value": "500.01"}, lambda c: c.currency == "CNY" and left(c) >= 50_001),
    ({"min_value": "500", "currency": "JPY"}, lambda c: c.currency == "JPY" and left(c) >= 500),
    ({"channel": "paid_search"}, lambda c: "paid_search" in c.path_channels),
    ({"channel": "direct"}, lambda c: "direct" in c.path_channels or not c.path_channels),
    ({"source": "baidu", "from_": "2024-01-20T08:00:00+08:00"}, lambda c: has_touch(c, source="baidu", from_day=19)),
    ({"channel": "paid_search", "campaign": "brand"}, lambda c: has_touch(c, channel="paid_search", campaign="brand")),
    ({"medium": "') OR 1 = ('1"}, lambda c: False),
    ({"from_": "2024-01-20T08:00:00+08:00"}, lambda c: c.converted_at_ms >= FIRST_MS + 19 * DAY_MS),
]


@pytest.mark.parametrize(("parameters", "is_wanted"), CONVERSION_FILTERS, ids=_name)
async def test_conversion_filters(ask: Any, alpha: World, parameters: dict[str, Any], is_wanted: Any) -> None:
    wanted = {row.conversion_id for row in alpha.conversions if is_wanted(row)}
    data = await ask("conversions", limit=1000, **parameters)
    assert {item["conversion_id"] for item in data["items"]} == wanted


async def test_users_are_all_there(ask: Any, alpha: World) -> None:
    items = await walk(ask, "users", limit=6)
    persons = {row.person_key for row in alpha.sessions}
    first_seen = {p: min(row.start_ms for row in alpha.sessions if row.person_key == p) for p in persons}
    ordered = sorted(persons, key=lambda person: (first_seen[person], person), reverse=True)
    assert [item["id"] for item in items] == [person[2:] for person in ordered]
    for item, person in zip(items, ordered, strict=True):
        check_user(item, person, alpha)


def check_user(item: dict[str, Any], person: str, world: World) -> None:
    sessions = sorted(
        (row for row in world.sessions if row.person_key == person), key=lambda row: (row.start_ms, row.session_id)
    )
    values: dict[str, int] = {}
    for row in sessions:
        for currency, amount in row.values_minor.items():
            values[currency] = values.get(currency, 0) + amount
    for conversion in world.conversions:
        if conversion.person_key == person and conversion.value_minor:
            values[conversion.currency] -= conversion.refunded_minor
    assert item["user_id"] == (person[2:] if person.startswith("u:") else None)
    assert item["linked_ids"] == sorted({row.anonymous_id for row in sessions if row.anonymous_id})
    assert item["sessions"] == len(sessions)
    assert item["events"] == sum(row.events for row in sessions)
    assert item["page_views"] == sum(row.page_views for row in sessions)
    assert item["conversions"] == sum(row.conversions for row in sessions)
    assert item["values"] == {currency: from_minor(amount, currency) for currency, amount in values.items()}
    assert item["first_channel"] == sessions[0].channel
    assert item["last_channel"] == sessions[-1].channel


async def test_users_by_when_they_were_first_seen(ask: Any, alpha: World) -> None:
    firsts: dict[str, int] = {}
    for row in alpha.sessions:
        firsts[row.person_key] = min(row.start_ms, firsts.get(row.person_key, row.start_ms))
    wanted = {person[2:] for person, first in firsts.items() if FIRST_MS + DAY_MS <= first < FIRST_MS + 5 * DAY_MS}
    data = await ask("users", from_="2024-01-02", to="2024-01-05", tz="UTC")
    assert {item["id"] for item in data["items"]} == wanted


async def test_one_user_and_their_events(ask: Any, alpha: World) -> None:
    for given, person in [("user4", "u:user4"), ("visitor6", "a:visitor6"), ("visitor4", "u:user4")]:
        data = await ask("users/{}", given)
        check_user(data["user"], person, alpha)
        wanted = [
            event
            for event in alpha.events
            if (event.user_id == person[2:] if person[0] == "u" else event.anonymous_id == person[2:])
        ]
        items = await walk(ask, "users/{}/events", given, limit=3)
        assert [item["event_id"] for item in items] == newest_first(wanted)
        searches = await ask("users/{}/events", given, event_name="search")
        assert {item["event_id"] for item in searches["items"]} == {
            event.event_id for event in wanted if event.event_name == "search"
        }


async def test_a_user_whose_session_is_not_there_yet_has_events_already(ask: Any, facts: ClickHouse) -> None:
    row = {
        "app_id": "empty",
        "event_id": "early",
        "event_name": "x",
        "timestamp_ms": 1,
        "received_us": 1,
        "user_id": "early",
    }
    await facts.insert_ndjson("events", encode_rows([row]))
    data = await ask("users/{}/events", "early", key="empty")
    assert [item["event_id"] for item in data["items"]] == ["early"]
