"""One event sent before a login and again after it: whichever was received first stays."""

from collections.abc import Callable
from typing import Any

import pytest
from stories import AD, DAY, SITE, START_MS

from schemas.control import Counting, Goal
from schemas.facts import NO_PLACE

Pair = Callable[..., tuple[Any, Any]]
ORDER = {"revenue": 100, "order_id": "o-77"}


def twins(pair: Pair, apart: float, **fields: Any) -> tuple[Any, Any]:
    """A purchase by a1, and again `apart` minutes later by u1 too, with a time of its own."""
    anonymous, user = pair()
    anonymous.does("page_view", 0, "t0", page_url=AD)
    anonymous.does("purchase", 5, "order-77", properties=ORDER)
    user.does("purchase", 5 + apart, "order-77", properties=ORDER, anonymous_id="a1", **fields)
    return anonymous, user


@pytest.mark.parametrize("apart", [0, 0.05, 20, 3 * 60])
def test_it_is_one_purchase(pair: Pair, apart: float) -> None:
    anonymous, user = twins(pair, apart)
    for each in (anonymous, user):
        each.publish()
    anonymous.becomes(user, 6)
    (session,) = user.sessions()
    assert (session.person_key, session.events, session.conversions) == ("u:u1", 2, 1)
    assert (session.values_minor, session.end_ms - session.start_ms) == ({"CNY": 10_000}, 5 * 60_000)
    (conversion,) = user.conversions()
    assert (conversion.person_key, conversion.session_id) == ("u:u1", session.session_id)
    (attribution,) = user.attributions()
    assert (attribution.channels, attribution.reason, attribution.value_minor) == (["paid_search"], "merge", 10_000)
    assert [row.touch_id for row in user.touches()] == ["t0"]
    (mark,) = user.effects.marks
    assert (mark.mark, mark.event_id, mark.person_key, mark.partition) == ("duplicate", "order-77", "u:u1", NO_PLACE)
    assert mark.timestamp_ms - mark.first_timestamp_ms == apart * 60_000


def test_a_third_sending_is_a_repeat(pair: Pair) -> None:
    anonymous, user = twins(pair, 1)
    anonymous.becomes(user, 6)
    user.does("purchase", 7, "order-77", properties=ORDER)
    anonymous.does("purchase", 8, "order-77", properties=ORDER)
    first, *repeats = [mark.timestamp_ms for mark in user.effects.marks]
    assert repeats == [first + 60_000, first + 120_000]
    assert [(row.events, row.conversions) for row in user.sessions()] == [(2, 1)]


def test_the_anonymous_one_goes_where_the_users_was_received_first(pair: Pair) -> None:
    anonymous, user = pair()
    user.does("purchase", 5, "order-77", properties=ORDER)
    anonymous.does("page_view", 0, "t0", page_url=AD)
    anonymous.does("purchase", 6, "order-77", properties=ORDER)
    anonymous.becomes(user, 6)
    assert [(row.events, row.conversions) for row in user.sessions()] == [(2, 1)]
    assert [row.converted_at_ms for row in user.conversions()] == [user.effects.marks[0].first_timestamp_ms]
    assert [mark.person_key for mark in user.effects.marks] == ["a:a1"]


def test_a_visit_of_its_own_goes_on_without_it(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.does("page_view", 0, "t0", page_url=AD)
    user.does("page_view", 2 * 60, "t1", page_url=SITE + "/account")
    user.does("page_view", 2 * 60 + 1, "t0", page_url=AD)
    user.publish()
    anonymous.becomes(user, 121)
    assert [(row.events, row.page_views) for row in user.sessions()] == [(1, 1), (1, 1)]
    assert user.sessions()[1].end_ms == user.sessions()[1].start_ms
    assert [row.touch_id for row in user.touches()] == ["t0", "t1"]


def test_a_refund_sent_twice_is_one(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.does("purchase", 0, "p0", properties=ORDER)
    for minutes, each in ((5, anonymous), (6, user)):
        each.does("refund", minutes, "r0", properties={"order_id": "o-77", "amount": 30})
    anonymous.becomes(user, 6)
    assert [row.refunded_minor for row in user.conversions()] == [3_000]


@pytest.mark.parametrize("apart", [0, 1])
def test_an_event_that_is_only_counted_is_counted_once(pair: Pair, apart: float) -> None:
    """Its id is known to nobody, so it is marked only where its two rows are one."""
    anonymous, user = pair()
    for minutes, each in ((0, anonymous), (1, user)):
        each.does("page_view", minutes, f"first-{minutes}", page_url=AD)
        each.does("click_button", 2 + minutes * apart, "middle")
        each.does("page_view", minutes + 4, f"last-{minutes}", page_url=SITE)
    anonymous.becomes(user, 6)
    assert [row.events for row in user.sessions()] == [5]
    assert [mark.event_id[0] for mark in user.effects.marks] == ([] if apart else ["#"])


def test_what_counts_again_replaces_the_rows_of_when_it_no_longer_did(pair: Pair) -> None:
    """The user's own first purchase was o2, then o1, so rows that take o2 back are out, and the user forgot it. Of o1
    the visitor's receipt stays, which is after o2."""
    first = Goal("first", "", "macro", "purchase", ("revenue",), counting=Counting.ONCE_PER_PERSON)
    anonymous, user = pair(goals=(first,))
    anonymous.does("purchase", 5, "o2")
    anonymous.does("purchase", 6, "o1")
    later = {"received_us": START_MS * 1000 + 3_600_000_000}
    user.does("purchase", 5, "o2", **later)
    user.does("purchase", 4, "o1", **later)
    user.publish()
    assert [row.event_id for row in user.conversions()] == ["o1"]
    anonymous.becomes(user, 61)
    assert [row.event_id for row in user.conversions()] == ["o2"]
    assert [row.channels for row in user.attributions()] == [["direct"]]


def test_eight_days_apart_they_are_two(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.does("purchase", 0, "p0", properties=ORDER)
    user.does("purchase", 8 * DAY, "p0", properties=ORDER)
    anonymous.becomes(user)
    assert [row.conversions for row in user.sessions()] == [1, 1]
