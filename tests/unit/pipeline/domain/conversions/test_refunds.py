"""Refunds: what goes back, from whom, and in whichever order it becomes known."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from pipeline.domain import state as limits
from schemas.control import Goal

AD = "https://shop.example.com/?utm_source=baidu&utm_medium=cpc&utm_campaign=spring"
GOALS = (Goal("purchase", "", "macro", "purchase"), Goal("upsell", "", "micro", "upgrade", ("revenue",)))
DAY = 24 * 60
MakePerson = Callable[..., Any]


def journey(person: Any) -> None:
    """Three touches, then an order of 100.00."""
    person.does("ad_click", 0, "t0", properties={"channel": "feed"})
    person.does("page_view", 60, "t1", page_url=AD)
    person.does("page_view", 120, "t2", page_url="https://shop.example.com/")
    person.does("purchase", 121, "buy", properties={"revenue": 100, "order_id": "o-1"})


def refund(person: Any, minutes: float, event_id: str = "back", **properties: Any) -> None:
    person.does("refund", minutes, event_id, properties={"order_id": "o-1"} | properties)


def test_a_full_refund_leaves_credits_and_takes_all_value(person: Any) -> None:
    journey(person)
    (before,) = person.attributions()
    refund(person, 3 * DAY)
    (after,) = person.attributions()
    assert (after.revision, after.supersedes, after.reason) == (2, 1, "refund")
    assert (after.value_minor, after.refunded_minor) == (0, 10_000)
    assert (after.touch_ids, after.credits_nanos) == (before.touch_ids, before.credits_nanos)
    assert {value for values in after.values_minor.values() for value in values} == {0}
    (conversion,) = person.conversions()
    assert (conversion.value_minor, conversion.refunded_minor, conversion.refund_excess_minor) == (10_000, 10_000, 0)


def test_a_part_goes_back_from_the_same_touches_in_every_model(person: Any) -> None:
    journey(person)
    (before,) = person.attributions()
    refund(person, 3 * DAY, amount=33.34)
    (after,) = person.attributions()
    assert (after.value_minor, after.credits_nanos) == (6_666, before.credits_nanos)
    assert after.values_minor["linear"] == [2_222, 2_222, 2_222]
    assert after.values_minor["position_based"] == [2_666, 1_333, 2_667]
    assert after.values_minor["last_click"] == [0, 6_666, 0]
    for model, values in after.values_minor.items():
        assert sum(values) == 6_666
        assert all(0 <= now <= then for now, then in zip(values, before.values_minor[model], strict=True))


def test_refunds_add_up_and_end_at_the_value(person: Any) -> None:
    journey(person)
    refund(person, 130, "one", amount=60)
    refund(person, 131, "two", value="-30")
    refund(person, 132, "three", price=25)
    (conversion,) = person.conversions()
    assert (conversion.refunded_minor, conversion.refund_excess_minor) == (10_000, 1_500)
    assert [row.reason for row in person.effects.attributions] == ["initial", "refund", "refund", "refund"]
    assert [row.value_minor for row in person.effects.attributions] == [10_000, 4_000, 1_000, 0]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_in_which_they_arrive_does_not_matter(make_person: MakePerson, order: tuple[int, ...]) -> None:
    person = make_person()
    does = [
        lambda: person.does("purchase", 0, "buy", properties={"revenue": 100, "order_id": "o-1"}),
        lambda: refund(person, 10, "one", amount=80),
        lambda: refund(person, 20, "two", amount=50),
    ]
    for place in order:
        does[place]()
    (conversion,) = person.conversions()
    assert (conversion.refunded_minor, conversion.refund_excess_minor) == (10_000, 3_000)
    assert person.attributions()[0].value_minor == 0


def test_a_refund_that_is_there_first_makes_the_first_attribution_net(person: Any) -> None:
    refund(person, 60, amount=40)
    assert person.conversions() == []
    journey(person)
    (row,) = person.attributions()
    assert (row.reason, row.revision, row.value_minor, row.refunded_minor) == ("initial", 1, 6_000, 4_000)


def test_each_goal_of_the_order_goes_back_and_one_goals_events_share(make_person: MakePerson) -> None:
    person = make_person(goals=GOALS)
    person.does("purchase", 0, "p0", properties={"revenue": 100, "order_id": "o-1"})
    person.does("purchase", 1, "p1", properties={"revenue": 50, "order_id": "o-1"})
    person.does("upgrade", 2, "up", properties={"revenue": 20, "order_id": "o-1"})
    refund(person, 10, amount=120)
    assert {row.event_id: row.refunded_minor for row in person.conversions()} == {
        "p0": 10_000,
        "p1": 2_000,
        "up": 2_000,
    }
    assert {row.event_id: row.refund_excess_minor for row in person.conversions()} == {"p0": 0, "p1": 0, "up": 10_000}


def test_what_names_no_order_another_order_or_another_currency_changes_nothing(person: Any) -> None:
    journey(person)
    person.does("refund", 130, properties={"amount": 5})
    refund(person, 131, "r1", order_id="o-2")
    refund(person, 132, "r2", currency="USD")
    refund(person, 133, "r3", amount="a lot")
    refund(person, 134, "r4", amount=0)
    refund(person, 135, "r5", amount=1e300)
    assert len(person.effects.attributions) == 1
    refund(person, 136, "r6", currency="cny")
    assert person.conversions()[0].refunded_minor == 10_000


def test_a_refund_is_of_the_newest_part_of_its_order_and_of_what_is_thirty_days_older(make_person: MakePerson) -> None:
    for days, refunded in ((30, [10_000, 2_000]), (30.001, [0, 5_000])):
        for watermark_days in (0, 28):
            person = make_person()
            person.buys(0, "p0", 100, order_id="o-1")
            person.publish(watermark_days * DAY)
            person.buys(days * DAY, "p1", 50, order_id="o-1")
            refund(person, days * DAY + 10, amount=120)
            person.buys(days * DAY + 2 * DAY, "p2", 70, order_id="o-1")
            assert [row.refunded_minor for row in person.conversions()] == [*refunded, 0]


def test_a_refund_within_the_keep_leaves_the_path(make_person: MakePerson) -> None:
    for watermark_days in (0, 28):
        person = make_person()
        journey(person)
        person.publish(watermark_days * DAY)
        refund(person, 121 + 30 * DAY)
        (conversion,) = person.conversions()
        assert conversion.refunded_minor == 10_000
        assert conversion.path_touch_ids == ["t0", "t1", "t2"]


def test_the_path_of_a_conversion_survives_a_month_of_further_touches(person: Any) -> None:
    journey(person)
    (before,) = person.conversions()
    for number in range(limits.MAX_TOUCHES + 20):
        person.does("ad_click", 2 * DAY + number * 200, f"c{number:03}", properties={"channel": "feed"})
        person.publish()
    assert len(person.state.touches) > limits.MAX_TOUCHES
    refund(person, 25 * DAY, amount=10)
    (after,) = person.conversions()
    assert after.path_touch_ids == before.path_touch_ids


def test_touches_and_refunds_kept_are_bounded(person: Any) -> None:
    journey(person)
    for number in range(limits.MAX_KEPT_TOUCHES + 20):
        person.does("ad_click", 2 * DAY + number * 40, properties={"channel": "feed"})
        person.publish()
    assert len(person.state.touches) <= limits.MAX_KEPT_TOUCHES
    for number in range(limits.MAX_REFUNDS + 20):
        refund(person, 12 * DAY + number, f"r{number:03}", order_id=f"x-{number}")
    assert len(person.state.refunds) == limits.MAX_REFUNDS
    person.does("page_view", 80 * DAY)
    person.publish()
    assert (person.state.refunds, person.state.conversions, person.state.touches) == ([], [], [])


def test_an_order_is_forgotten_as_a_whole(person: Any) -> None:
    """A second refund, when the first is 40 days old, must not undo it: the order's facts are kept together."""
    person.does("purchase", 0, "p0", properties={"revenue": 100, "order_id": "o-1"})
    refund(person, 1, "r0", amount=100)
    person.does("purchase", 25 * DAY, "p1", properties={"revenue": 50, "order_id": "o-1"})
    person.publish(40 * DAY)
    refund(person, 41 * DAY, "r1", amount=20)
    assert {row.event_id: row.refunded_minor for row in person.conversions()} == {"p0": 10_000, "p1": 2_000}
