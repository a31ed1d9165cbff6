"""Test events of goals: the one that is offered, the marks of a test, and what a goal says of an event."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.control import InvalidRecord
from pipeline.domain.conversions.conditions import Unmet
from schemas.control import App, Goal, GoalCondition, Operator
from schemas.events import AcceptedEvent
from services.console import setting_words
from services.console.goal_trial import PREFIX, Verdict, example_of, read_event, refuse_real_ids, verdict_on
from services.gateway.validate import Receipt, check_event
from services.web.errors import ApiError

APP = App("shop", "Shop")
RECEIPT = Receipt("shop", "key_1", 30, 1_705_314_700_000_000, "203.0.113.7", "python-httpx/1", 7)
NUMBERS = st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
CONDITIONS = st.one_of(
    st.builds(GoalCondition, st.just("p"), st.sampled_from(Operator), st.one_of(NUMBERS, TEXTS)),
    st.builds(
        GoalCondition,
        st.just("p"),
        st.sampled_from([Operator.EQ, Operator.NE, Operator.CONTAINS, Operator.EXISTS]),
        st.booleans(),
    ),
)


def goal_with(*conditions: GoalCondition, **more: Any) -> Goal:
    return Goal("big", "Big", "macro", "purchase", conditions=conditions, **more)


def sent(event: dict[str, Any]) -> AcceptedEvent:
    """The event as the gateway takes it from the console."""
    return check_event(msgspec.json.encode(read_event(json.dumps(event), PREFIX + "1")), RECEIPT)


def verdict(goal: Goal, properties: dict[str, Any], event_name: str = "purchase", **ids: Any) -> Verdict:
    raw = msgspec.Raw(msgspec.json.encode(properties))
    return verdict_on(goal, APP, AcceptedEvent("shop", "e", event_name, 1, 1, properties=raw, **ids))


@given(CONDITIONS)
def test_the_event_that_is_offered_meets_its_goal_and_is_a_test_person_s(condition: GoalCondition) -> None:
    goal = goal_with(condition)
    event = sent(example_of(goal, APP, "7"))
    assert verdict_on(goal, APP, event).is_met
    assert event.is_bot
    assert event.anonymous_id == PREFIX + "7"
    refuse_real_ids(read_event(json.dumps(example_of(goal, APP, "7")), PREFIX + "1"))


def test_it_meets_several_conditions_of_one_property_and_has_the_goal_s_value() -> None:
    within = (GoalCondition("revenue", Operator.GT, 100), GoalCondition("revenue", Operator.LT, 101))
    goal = goal_with(*within, GoalCondition("plan", Operator.NE, "example"), value_properties=("revenue",))
    event = example_of(goal, APP, "7")
    assert event["properties"] == {"revenue": 100.5, "currency": "CNY", "plan": "example0"}
    assert example_of(goal_with(), APP, "7")["properties"] == {"revenue": 99.5, "currency": "CNY"}
    assert example_of(goal_with(value_properties=()), APP, "7")["properties"] == {}
    found = verdict_on(goal, APP, sent(event))
    assert (found.is_met, str(found.value), found.currency) == (True, "100.50", "CNY")


@pytest.mark.parametrize("other", [10**401, 1.5], ids=["endless", "small"])
def test_a_goal_with_a_number_beyond_all_floats_is_offered_an_event_too(other: float) -> None:
    """Such a one may be stored: numbers were not always bounded."""
    goal = goal_with(GoalCondition("p", Operator.GT, 10**400), GoalCondition("p", Operator.LT, other))
    assert example_of(goal, APP, "7")["properties"]["p"] == 10**400


def test_where_no_value_meets_all_the_event_says_so_when_it_is_checked() -> None:
    goal = goal_with(GoalCondition("p", Operator.EQ, 1), GoalCondition("p", Operator.EQ, 2))
    found = verdict_on(goal, APP, sent(example_of(goal, APP, "7")))
    assert [one.unmet for one in found.conditions] == [None, Unmet.OTHER]


def test_every_event_is_marked_whatever_was_typed_and_else_left_as_it_was() -> None:
    typed = '{"event_name": "purchase", "user_id": "u", "properties": {"a": 1.50, "big": 12345678901234567890}, %s}'
    for context in ('"context": {"user_agent": "Mozilla/5.0", "locale": "zh"}', '"context": {}', '"sent_at": null'):
        event = read_event(typed % context, PREFIX + "1")
        assert b'"a": 1.50, "big": 12345678901234567890' in bytes(event["properties"])
        assert json.loads(bytes(event["context"]))["user_agent"] == "AttriKit-Test-Event/1 (synthetic)"
        assert json.loads(bytes(event["event_id"])) == PREFIX + "1"
    assert json.loads(bytes(event["context"])) == {"user_agent": "AttriKit-Test-Event/1 (synthetic)"}
    kept = read_event('{"event_id": "mine", "context": {"locale": "zh"}}', PREFIX + "1")
    assert json.loads(bytes(kept["event_id"])) == "mine"
    assert json.loads(bytes(kept["context"]))["locale"] == "zh"


@pytest.mark.parametrize("context", ["null", '""', '"x"', "7", "[]", '{"user_agent": 7}', '{"user_agent": null}', "{}"])
def test_an_event_is_marked_or_refused_by_the_gateway(context: str) -> None:
    event = read_event(f'{{"event_name": "purchase", "context": {context}}}', PREFIX + "1")
    try:
        assert check_event(msgspec.json.encode(event), RECEIPT).is_bot
    except ApiError:
        assert context in ('"x"', "7", "[]")


@pytest.mark.parametrize("typed", ["", "[]", "[{}]", "7", "null", '{"a"', "{" * 5000, '{"a": 1} {"b": 2}', "\ud800"])
def test_what_is_no_event_is_told(typed: str) -> None:
    with pytest.raises(InvalidRecord, match="one event"):
        read_event(typed, PREFIX + "1")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"user_id": "regular"}, "user_id"),
        ({"anonymous_id": "attrikit"}, "anonymous_id"),
        ({"event_id": "o1"}, "event_id"),
        ({"user_id": 7}, "user_id"),
        ({"properties": {"order_id": "O-1001"}}, "properties.order_id"),
        ({"properties": {"order_id": 1001}}, "properties.order_id"),
    ],
)
def test_ids_of_real_persons_events_and_orders_are_refused(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRecord, match=f"^{field} of a test event must begin with attrikit-test-"):
        refuse_real_ids(read_event(json.dumps(given), PREFIX + "1"))


@pytest.mark.parametrize("number", ["1e999", "9" * 5_000])
@pytest.mark.parametrize("field", ["event_id", "user_id", "properties.order_id"])
def test_an_id_that_is_a_number_out_of_range_is_none_of_a_test(field: str, number: str) -> None:
    name = field.removeprefix("properties.")
    one = f'"{name}": {number}'
    event = f'{{"properties": {{{one}}}}}' if name != field else f"{{{one}}}"
    with pytest.raises(InvalidRecord, match=f"^{field} of a test event must begin with"):
        refuse_real_ids(read_event(event, PREFIX + "1"))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"user_id": None, "anonymous_id": "", "properties": {"order_id": None}},
        {"user_id": PREFIX + "u", "event_id": PREFIX + "2", "properties": {"order_id": PREFIX + "o", "revenue": 5}},
        {"properties": 7},
    ],
)
def test_ids_of_a_test_are_taken(given: dict[str, Any]) -> None:
    refuse_real_ids(read_event(json.dumps(given), PREFIX + "1"))


def test_a_verdict_says_for_each_condition_what_was_found_and_why_it_does_not_hold() -> None:
    conditions = (
        GoalCondition("revenue", Operator.GTE, 100),
        GoalCondition("plan", Operator.EQ, "pro"),
        GoalCondition("tags", Operator.GT, 1),
        GoalCondition("coupon", Operator.EXISTS, False),
        GoalCondition("city", Operator.CONTAINS, "jing"),
    )
    found = verdict(
        goal_with(*conditions), {"revenue": 150, "plan": "free", "tags": ["a"], "coupon": True}, user_id="u"
    )
    assert [(one.text, one.found, one.kind, one.unmet) for one in found.conditions] == [
        ("revenue gte 100", "150", "number", None),
        ('plan eq "pro"', '"free"', "string", Unmet.OTHER),
        ("tags gt 1", '["a"]', "array", Unmet.INCOMPARABLE),
        ("coupon exists false", "true", "boolean", Unmet.PRESENT),
        ('city contains "jing"', "", "", Unmet.ABSENT),
    ]
    assert not found.is_met
    assert [kind for _, kind, _ in found.properties] == ["number", "string", "array", "boolean"]


def test_the_name_and_a_person_are_needed_too() -> None:
    assert verdict(goal_with(), {}, user_id="u").is_met
    assert not verdict(goal_with(), {}).has_person
    assert not verdict(goal_with(), {}).is_met
    other = verdict(goal_with(), {}, "page_view", anonymous_id="a")
    assert (other.is_named, other.has_person, other.is_met) == (False, True, False)


def test_every_reason_and_kind_has_its_words() -> None:
    assert set(setting_words.UNMET) == set(Unmet)
    assert {"string", "number", "boolean", "array", "object"} == set(setting_words.KINDS)
