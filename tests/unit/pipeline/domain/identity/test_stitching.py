"""Stories: an anonymous visitor turns out to be a user."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.domain.effects import Effects
from pipeline.domain.identity import stitching
from pipeline.domain.identity.stitching import LinkOutcome
from pipeline.domain.sessions import archive
from pipeline.domain.state import encode_state, new_state
from schemas.control import Counting, Goal
from schemas.people import Link

SITE = "https://shop.example.com"
AD = SITE + "/?utm_source=baidu&utm_medium=cpc&utm_campaign=spring"
MAIL = SITE + "/?utm_source=newsletter&utm_medium=email&utm_campaign=may"
HOUR, DAY = 60, 24 * 60
START_MS = 20_000 * 86_400_000 + 10 * 3_600_000
FIRST = Goal("first_order", "", "macro", "purchase", ("revenue",), counting=Counting.ONCE_PER_PERSON)
PER_SESSION = Goal("session_order", "", "macro", "purchase", ("revenue",), counting=Counting.ONCE_PER_SESSION)
EVERY = Goal("order", "", "macro", "purchase", ("revenue",))

MakePerson = Callable[..., Any]


Pair = Callable[..., tuple[Any, Any]]


# Links


def test_the_first_user_owns_the_anonymous_id() -> None:
    state, effects = new_state(), Effects()

    def link(user_id: str, event_id: str, second: int) -> LinkOutcome:
        return stitching.apply_link(
            state, Link("shop", "a1", user_id, event_id, second * 1000, second * 1_000_000), effects
        )

    assert link("u1", "e1", 5) is LinkOutcome.NEW_OWNER
    assert stitching.is_moving(state)
    assert [link("u1", "e2", 6), link("u2", "e3", 7), link("u2", "e4", 8)] == [
        LinkOutcome.KNOWN,
        LinkOutcome.NEW_OTHER,
        LinkOutcome.KNOWN,
    ]
    assert [(row.user_id, row.event_id, row.is_owner) for row in effects.links] == [
        ("u1", "e1", True),
        ("u2", "e3", False),
    ]
    assert stitching.owner_of(state) == "u1"
    assert stitching.hand_over(state) == b""
    assert stitching.is_moved(state)
    assert (link("u1", "e5", 9), link("u3", "e6", 9)) == (LinkOutcome.KNOWN, LinkOutcome.NEW_OTHER)
    with pytest.raises(ValueError, match="no journey"):
        stitching.hand_over(state)


def test_users_of_a_shared_device_are_bounded_and_the_owner_stays() -> None:
    state = new_state()
    for number in range(stitching.MAX_LINKED_USERS + 5):
        stitching.link(state, f"u{number}", 0, "e", number)
    assert state.links is not None
    assert len(state.links.users) == stitching.MAX_LINKED_USERS
    assert (stitching.owner_of(state), state.links.users[1]) == ("u0", "u6")


# What moves


def test_sessions_touches_and_conversions_become_the_users(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.does("page_view", 0, "t0", page_url=AD)
    anonymous.buys(5, "p0", 10, order_id="o-1")
    (before,) = anonymous.publish()
    user.does("page_view", 20, "t1", page_url=SITE + "/")
    anonymous.becomes(user, 20)
    (session,) = user.sessions()
    assert (session.person_key, session.user_id, session.anonymous_id) == ("u:u1", "u1", "a1")
    assert (session.events, session.channel, session.conversions) == (3, "paid_search", 1)
    assert [row.session_id for row in user.effects.sessions if row.is_deleted].count(before.session_id) == 1
    (touch,) = user.touches()
    assert (touch.touch_id, touch.person_key, touch.session_id) == ("t0", "u:u1", session.session_id)
    (conversion,) = user.conversions()
    assert (conversion.user_id, conversion.anonymous_id, conversion.session_id) == ("u1", "a1", session.session_id)
    (row,) = user.attributions()
    assert (row.reason, row.revision, row.supersedes, row.person_key) == ("merge", 2, 1, "u:u1")
    assert row.touch_ids == ["t0"]


def test_the_users_own_conversions_get_the_anonymous_touches(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.does("page_view", 0, "t0", page_url=AD)
    user.does("page_view", 2 * DAY, "t1", page_url=MAIL)
    user.buys(2 * DAY + 1, "p0", 10)
    assert user.attributions()[0].touch_ids == ["t1"]
    anonymous.becomes(user)
    (row,) = user.attributions()
    assert (row.touch_ids, row.reason, row.revision) == (["t0", "t1"], "merge", 2)
    user.buys(2 * DAY + 2, "p1")
    assert [(row.revision, row.reason) for row in user.attributions()] == [(2, "merge"), (1, "initial")]


def test_conversions_that_nothing_changes_for_are_not_written_again(pair: Pair) -> None:
    anonymous, user = pair()
    user.buys(0, "p0")
    anonymous.does("page_view", 3 * DAY, page_url=AD)
    anonymous.becomes(user)
    assert len(user.effects.conversions) == len(user.effects.attributions) == 1


def test_final_sessions_are_joined_too(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.does("page_view", 0, "t0", page_url=AD)
    anonymous.does("page_view", 50, "t1", page_url=AD)
    user.does("page_view", 25, "t2", page_url=SITE + "/")
    for person in (anonymous, user):
        person.publish(5 * DAY)
        assert person.state.segments == []
    anonymous.becomes(user)
    (session,) = user.sessions()
    assert (session.events, session.end_ms - session.start_ms, session.is_closed) == (3, 50 * 60_000, True)
    assert [row.touch_id for row in user.touches()] == ["t0"]
    assert user.state.segments == []
    assert [touch.touch_id for touch in user.state.touches] == ["t0"]


def test_a_journey_sent_again_changes_nothing(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.buys(0, "p0")
    journey = anonymous.becomes(user)
    before, rows = encode_state(user.state), len(user.effects.sessions)
    user.absorbs(journey, "a1")
    assert encode_state(user.state) == before
    assert len(user.effects.sessions) == rows


def test_events_that_come_after_are_forwarded_and_their_repeats_marked(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.buys(0, "p0")
    anonymous.becomes(user)
    anonymous.buys(5, "p1")
    anonymous.buys(5, "p1")
    anonymous.buys(0, "p0")
    assert [(mark.mark, mark.event_id, mark.partition) for mark in user.effects.marks] == [
        ("duplicate", "p1", 3),
        ("duplicate", "p0", 3),
    ]
    assert [row.anonymous_id for row in user.conversions()] == ["a1", "a1"]
    assert [row.events for row in user.sessions()] == [2]


def test_a_forwarded_event_is_late_by_its_own_partitions_watermark(pair: Pair) -> None:
    anonymous, user = pair()
    user.does("page_view", 0, "t0", page_url=AD)
    user.publish(9 * DAY)
    anonymous.becomes(user)
    anonymous.does("page_view", 5)
    assert [row.events for row in user.sessions()] == [2]
    anonymous.watermark_ms = START_MS + 9 * 86_400_000
    anonymous.does("page_view", 6, "late")
    assert [(mark.mark, mark.event_id) for mark in user.effects.marks] == [("late", "late")]


# Refunds


@pytest.mark.parametrize("who", ["anonymous", "user", "forwarded"])
def test_a_refund_reaches_the_order_wherever_it_was_heard_of(pair: Pair, who: str) -> None:
    anonymous, user = pair()
    anonymous.buys(0, "p0", 100, order_id="o-1")
    properties = {"order_id": "o-1", "amount": 40}
    if who == "forwarded":
        anonymous.becomes(user)
        anonymous.does("refund", 60, "r0", properties=properties)
    else:
        (user if who == "user" else anonymous).does("refund", 60, "r0", properties=properties)
        anonymous.becomes(user)
    (row,) = user.attributions()
    assert (row.value_minor, row.refunded_minor) == (6_000, 4_000)
    assert {model: sum(values) for model, values in row.values_minor.items()} == dict.fromkeys(row.values_minor, 6_000)
    assert row.revision == len([r for r in user.effects.attributions if r.conversion_id == row.conversion_id])


def test_refunds_of_both_sides_share_what_there_is(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.buys(0, "p0", 100, order_id="o-1")
    anonymous.does("refund", 60, "r0", properties={"order_id": "o-1", "amount": 70})
    user.does("refund", 61, "r1", properties={"order_id": "o-1", "amount": 70})
    anonymous.becomes(user)
    (conversion,) = user.conversions()
    assert (conversion.refunded_minor, conversion.refund_excess_minor) == (10_000, 4_000)


# Counting


def test_counted_once_per_person_on_both_sides_the_later_one_is_taken_back(pair: Pair) -> None:
    for days in (1, 9):  # the earlier one's session is open, or final
        anonymous, user = pair(goals=(FIRST,))
        anonymous.buys(0, "earlier", 3)
        user.buys(days * DAY, "later", 7)
        user.publish(days * DAY + 3 * DAY)
        anonymous.becomes(user)
        assert [row.event_id for row in user.conversions()] == ["earlier"]
        assert [row.conversions for row in user.sessions()] == [1, 0]
        (gone,) = [row for row in user.effects.attributions if row.is_deleted]
        assert (gone.reason, gone.revision, gone.supersedes) == ("merge", 2, 1)
        user.buys(days * DAY + 3 * DAY, "third")
        assert [row.event_id for row in user.conversions()] == ["earlier"]


def test_the_anonymous_one_goes_where_the_user_was_first(pair: Pair) -> None:
    anonymous, user = pair(goals=(FIRST,))
    user.buys(0, "earlier")
    anonymous.buys(DAY, "later")
    anonymous.becomes(user)
    assert [row.event_id for row in user.conversions()] == ["earlier"]
    assert [row.conversions for row in user.sessions()] == [1, 0]


def test_counted_once_per_session_in_a_session_that_is_joined(pair: Pair) -> None:
    anonymous, user = pair(goals=(PER_SESSION,))
    anonymous.buys(0, "earlier")
    user.buys(10, "later")
    anonymous.becomes(user)
    assert [row.event_id for row in user.conversions()] == ["earlier"]


def test_sessions_final_long_ago_are_cut_when_a_merge_makes_their_chain_longer_than_a_day(pair: Pair) -> None:
    """20 hours over midnight are one session, which counts one order. What the user did before makes it 30: it is cut,
    and the order after midnight counts as well."""
    anonymous, user = pair(goals=(PER_SESSION,), session_gap_seconds=12 * 3600)
    anonymous.buys(4 * HOUR, "monday")
    anonymous.buys(15 * HOUR, "tuesday")
    anonymous.does("page_view", 24 * HOUR)
    anonymous.publish(9 * DAY)
    assert [row.event_id for row in anonymous.conversions()] == ["monday"]
    user.does("page_view", -6 * HOUR)
    user.publish(9 * DAY)
    anonymous.becomes(user)
    assert [row.event_id for row in user.conversions()] == ["monday", "tuesday"]
    assert [(row.events, row.conversions) for row in user.sessions()] == [(2, 1), (2, 1)]


def test_a_chain_that_has_lost_its_beginning_stays_cut(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    anonymous, user = pair(session_gap_seconds=12 * 3600)
    for hour in range(0, 60, 11):
        anonymous.does("page_view", hour * HOUR)
    assert [row.events for row in anonymous.sessions()] == [2, 2, 2]
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", 150)  # of 196
    anonymous.publish(9 * DAY)
    anonymous.becomes(user)
    assert [row.events for row in user.sessions() if row.user_id] == [2, 2]


def test_it_stays_cut_where_the_other_journey_is_before_what_is_left_of_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    anonymous, user = pair(session_gap_seconds=12 * 3600)
    for hour in range(0, 60, 11):
        anonymous.does("page_view", hour * HOUR)
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", 100)  # one of three
    anonymous.publish(9 * DAY)
    user.does("page_view", 36 * HOUR, "the evening before")
    anonymous.becomes(user)
    assert [row.events for row in user.sessions() if row.user_id] == [1, 2]


def test_the_touches_a_path_can_hold_are_found_whatever_was_thawed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.domain.attribution.path_limit.MAX_TOUCHES", 3)
    anonymous, user = pair()
    anonymous.does("page_view", 1 * DAY, "t1", page_url=AD)
    anonymous.does("page_view", 3 * DAY, "t3", page_url=AD)
    user.does("page_view", 4 * DAY, "t4", page_url=MAIL)
    for each in (anonymous, user):
        each.publish(9 * DAY)
    user.state.archive = b""  # as at its bound
    user.does("page_view", 9 * DAY, "t9", page_url=SITE + "/")
    user.buys(9 * DAY + 1, "bought")
    anonymous.becomes(user)
    assert user.attributions()[0].touch_ids == ["t1", "t4", "t9"]
