"""Goals an event meets, and its value."""

import msgspec
import pytest

from pipeline.domain.conversions.goals import conversions_of
from pipeline.domain.rules import compile_rules
from pipeline.domain.state import Conversion
from schemas.control import DEFAULT_GOALS, App, Counting, Goal, GoalCondition, Operator
from schemas.events import StreamEvent

GOALS = (Goal("sale", "Sale", "macro", "purchase"), Goal("order", "Order", "micro", "purchase", ()), *DEFAULT_GOALS)
RULES = compile_rules(App("shop", "Shop", goals=GOALS, currency="CNY"))


UNREADABLE = (b'"US$"', b'"$"', b'"USDT"', b'"euro"', b'"yuan"', b'"\xc3\xa9\xc3\xa9\xc3\xa9"', b"156", b'["USD"]')


def conversions(properties: bytes, event_name: str = "purchase", user_id: str = "u1") -> list[Conversion]:
    event = StreamEvent("shop", "e1", event_name, 1_000, 2_000, user_id, "a1", properties=msgspec.Raw(properties))
    return conversions_of(event, RULES.goals_by_event[event_name], RULES)


def sale(properties: bytes) -> Conversion:
    return next(found for found in conversions(properties) if found.goal == "sale")


@pytest.mark.parametrize(
    ("properties", "value_minor", "currency"),
    [
        (b'{"revenue": 199}', 19_900, "CNY"),
        (b'{"revenue": 19.99}', 1_999, "CNY"),
        (b'{"revenue": 0.1, "amount": 5}', 10, "CNY"),
        (b'{"amount": 5, "price": 6}', 500, "CNY"),
        (b'{"price": 6}', 600, "CNY"),
        (b'{"revenue": "199.90"}', 19_990, "CNY"),
        (b'{"revenue": "many", "amount": 5}', 500, "CNY"),
        (b'{"revenue": true, "amount": 5}', 500, "CNY"),
        (b'{"revenue": null, "amount": 5}', 500, "CNY"),
        (b'{"revenue": [1], "price": 6}', 600, "CNY"),
        (b'{"revenue": 1200, "currency": "JPY"}', 1_200, "JPY"),
        (b'{"revenue": 1.5, "currency": "kwd"}', 1_500, "KWD"),
        (b'{"revenue": 1, "currency": "RMB"}', 100, "CNY"),
        (b'{"revenue": 1, "currency": " usd "}', 100, "USD"),
        (b'{"revenue": "1,299.00"}', 129_900, "CNY"),
        (b'{"revenue": "\xc2\xa51299"}', 129_900, "CNY"),
        # no value: negative, absurd, absent; a number that is there is the answer, whatever comes after it
        (b'{"revenue": -5, "amount": 7}', 0, "CNY"),
        (b'{"revenue": "-5"}', 0, "CNY"),
        (b'{"revenue": 0}', 0, "CNY"),
        (b'{"revenue": 1e300}', 0, "CNY"),
        (b'{"revenue": ' + b"9" * 5000 + b"}", 0, "CNY"),
        (b'{"revenue": "1e5"}', 0, "CNY"),
        (b'{"revenue": "9e999999"}', 0, "CNY"),
        (b'{"revenue": "NaN"}', 0, "CNY"),
        (b"{}", 0, "CNY"),
        # what no gateway lets through must not stop the stream
        (b"[]", 0, "CNY"),
        (b"7", 0, "CNY"),
        (b'{"revenue": 1e400}', 0, "CNY"),
        (b'{"x": "\\ud800", "revenue": 5}', 0, "CNY"),
        (b'{"revenue": ' + b"[" * 100_000, 0, "CNY"),
    ],
)
def test_values(properties: bytes, value_minor: int, currency: str) -> None:
    found = sale(properties)
    assert (found.value_minor, found.currency) == (value_minor, currency)


@pytest.mark.parametrize(
    ("properties", "issue"),
    [
        (b'{"revenue": 1}', ""),
        (b"{}", ""),
        (b'{"revenue": "", "currency": null}', ""),
        *((b'{"revenue": 1, "currency": ' + given + b"}", "unreadable_currency") for given in UNREADABLE),
        (b'{"revenue": -5, "amount": 7}', "negative_value"),
        (b'{"revenue": "1e5"}', "unreadable_value"),
        (b'{"revenue": true, "currency": "USD"}', "unreadable_value"),
    ],
)
def test_what_is_given_and_cannot_be_read_counts_without_a_value(properties: bytes, issue: str) -> None:
    found = sale(properties)
    assert (found.value_issue, found.value_minor) == (issue, 0 if issue else found.value_minor)
    assert {each.value_issue for each in conversions(properties, "add_to_cart")} == {""}


@pytest.mark.parametrize(
    ("properties", "order_id"),
    [
        (b'{"order_id": "o-1"}', "o-1"),
        (b'{"order_id": 42}', "42"),
        (b'{"order_id": true}', ""),
        (b'{"order_id": {"a": 1}}', ""),
        (b'{"order_id": "' + b"x" * 500 + b'"}', "x" * 200),
        (b"{}", ""),
    ],
)
def test_order_ids(properties: bytes, order_id: str) -> None:
    assert sale(properties).order_id == order_id


def test_one_event_may_meet_several_goals() -> None:
    found = conversions(b'{"revenue": 10}')
    assert [(each.goal, each.goal_type, each.value_minor) for each in found] == [
        ("order", "micro", 0),
        ("purchase", "macro", 1_000),
        ("sale", "macro", 1_000),
    ]


def test_the_anonymous_id_is_remembered_of_known_users_only() -> None:
    assert {found.anonymous_id for found in conversions(b"{}")} == {"a1"}
    assert {found.anonymous_id for found in conversions(b"{}", user_id="")} == {""}


def test_a_goal_names_its_version_and_counts_only_where_its_conditions_hold() -> None:
    where = (GoalCondition("revenue", Operator.GTE, 100), GoalCondition("coupon", Operator.EXISTS))
    goal = Goal("big", "Big", "macro", "purchase", (), where, Counting.ONCE_PER_PERSON, version=7)
    rules = compile_rules(App("shop", "Shop", goals=(goal,)))

    def met(properties: bytes) -> list[tuple[str, int, str]]:
        event = StreamEvent("shop", "e1", "purchase", 1, 1, "u1", properties=msgspec.Raw(properties))
        found = conversions_of(event, rules.goals_by_event["purchase"], rules)
        return [(each.goal, each.goal_version, each.counting) for each in found]

    assert met(b'{"revenue": 100, "coupon": "x"}') == [("big", 7, "once_per_person")]
    assert met(b'{"revenue": 99.99, "coupon": "x"}') == []
    assert met(b'{"revenue": 100}') == []


def test_a_goal_on_refunds_names_no_order() -> None:
    rules = compile_rules(App("shop", "Shop", goals=(Goal("returned", "Returned", "micro", "refund"),)))
    event = StreamEvent("shop", "e1", "refund", 1, 1, "u1", properties=msgspec.Raw(b'{"order_id": "o", "amount": 5}'))
    (found,) = conversions_of(event, rules.goals_by_event["refund"], rules)
    assert (found.order_id, found.value_minor) == ("", 500)


def test_a_cart_carries_no_value() -> None:
    assert [found.value_minor for found in conversions(b'{"price": 5}', "add_to_cart")] == [0]
