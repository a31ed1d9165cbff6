"""The preview of validate equals what the stream's domain then does, with an event that is the first of its person."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.apply import apply_event
from pipeline.domain.context import PersonContext
from pipeline.domain.effects import Effects
from pipeline.domain.preview import NOTHING, preview, rules_of
from pipeline.domain.rules import compile_rules
from pipeline.domain.state import new_state
from schemas.amounts import shown_value
from schemas.control import DEFAULT_GOALS, App, AttributionSettings, Goal, Snapshot
from schemas.events import AcceptedEvent, decode_stream_event, encode_event
from schemas.persons import person_key

GOALS = (*DEFAULT_GOALS, Goal("lead", "线索", "micro", "form_submitted", ("score",)))
SHOP = App("shop", "Shop", goals=GOALS)
NOW_MS = 1_705_314_700_000

names = st.sampled_from(["page_view", "purchase", "form_submitted", "ad_click", "ad_impression", "ad_view", "a"])
pages = st.sampled_from(
    [
        "",
        "https://shop.example/",
        "https://shop.example/?utm_source=baidu&utm_medium=cpc&utm_campaign=spring",
        "https://shop.example/?gclid=1",
        "https://shop.example/?fbclid=1",
        "https://shop.example/?utm_medium=email",
    ]
)
referrers = st.sampled_from(["", "https://www.baidu.com/", "https://shop.example/a", "https://news.example/"])
amounts = st.one_of(
    st.integers(-5, 10**9), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5), st.none()
)
properties = st.dictionaries(
    st.sampled_from(["revenue", "amount", "price", "score", "currency", "platform", "channel", "campaign"]),
    st.one_of(amounts, st.sampled_from(["USD", "jpy", "19.99", "douyin", "display"])),
)


@given(names, pages, referrers, properties, st.sampled_from(["", "cpc", "email"]), st.sampled_from(["", "u1"]))
def test_it_is_what_the_stream_does(
    name: str, page: str, referrer: str, given_properties: dict[str, Any], medium: str, user_id: str
) -> None:
    event = AcceptedEvent(
        "shop",
        "e1",
        name,
        NOW_MS,
        NOW_MS * 1000,
        user_id,
        properties=msgspec.Raw(msgspec.json.encode(given_properties)),
        page_url=page,
        referrer=referrer,
        campaign_medium=medium,
    )
    rules = compile_rules(SHOP)
    foretold = preview(event, rules)
    done = Effects()
    key = person_key(event.user_id, event.anonymous_id, event.event_id)
    apply_event(
        PersonContext(
            new_state(), decode_stream_event(encode_event(event)).app_id, key, rules, NOW_MS, done, (0, 0, 0)
        ),
        decode_stream_event(encode_event(event)),
    )

    touches = [(touch.channel, touch.touch_type) for touch in done.touches]
    assert touches == ([(foretold.channel, foretold.touch_type)] if user_id and foretold.channel else [])
    assert [
        (c.goal, c.goal_type, *shown_value(c.value_minor, c.currency, c.value_issue)) for c in done.conversions
    ] == [(goal.goal, goal.goal_type, goal.value, goal.currency) for goal in foretold.goals]


def test_nobodys_event_brings_about_nothing() -> None:
    event = AcceptedEvent("shop", "e1", "purchase", NOW_MS, NOW_MS * 1000)
    assert preview(event, compile_rules(SHOP)) == NOTHING


def test_settings_the_stream_cannot_use_are_replaced_as_it_replaces_them() -> None:
    broken = replace(SHOP, currency="EUR", attribution=AttributionSettings(half_life_days=-1))
    assert rules_of(broken) == compile_rules(App("shop", "Shop", currency="EUR", goals=GOALS))


def test_what_is_older_than_the_lateness_may_be_late() -> None:
    rules = compile_rules(SHOP)
    for age_ms, expected in ((rules.lateness_ms, False), (rules.lateness_ms + 1, True)):
        event = AcceptedEvent("shop", "e1", "purchase", NOW_MS - age_ms, NOW_MS * 1000, user_id="u1")
        assert preview(event, rules).may_be_late is expected


@pytest.fixture
def snapshot(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, apps={"shop": replace(snapshot.apps["shop"], goals=GOALS, currency="EUR")})


UNKNOWN = {
    "goal": "purchase",
    "goal_type": "macro",
    "value": None,
    "currency": None,
    "value_issue": "unreadable_currency",
}


async def test_validate_tells_it_for_every_good_event(
    make_app: Callable[..., FastAPI], make_client: Callable[[FastAPI], httpx.AsyncClient]
) -> None:
    page = {"page": {"url": "https://shop.example/?gclid=1"}}
    events = [
        {"event_name": "purchase", "user_id": "u", "properties": {"revenue": "19.99"}, "context": page},
        {"event_name": "Purchase"},
        {"event_name": "form_submitted", "anonymous_id": "a", "properties": {"score": 7, "currency": "JPY"}},
        {"event_name": "purchase", "properties": {"revenue": 5}},
        {"event_name": "purchase", "user_id": "u", "properties": {"revenue": 100, "currency": "US$"}},
    ]
    async with make_client(make_app()) as client:
        answer = await client.post("/v1/events/validate", json={"events": events})
    data = answer.json()["data"]
    assert [error["index"] for error in data["errors"]] == [1]
    told = [(e["index"], e["channel"], e["touch_type"], e["goals"]) for e in data["normalized"]]
    assert told == [
        (
            0,
            "paid_search",
            "click",
            [{"goal": "purchase", "goal_type": "macro", "value": 19.99, "currency": "EUR", "value_issue": None}],
        ),
        (
            2,
            None,
            None,
            [
                {"goal": "form_submitted", "goal_type": "macro", "value": 0, "currency": "JPY", "value_issue": None},
                {"goal": "lead", "goal_type": "micro", "value": 7, "currency": "JPY", "value_issue": None},
            ],
        ),
        (3, None, None, []),
        (4, None, None, [UNKNOWN]),
    ]
