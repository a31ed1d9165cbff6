"""An app's session gap is changed while people are in the middle of their sessions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.domain.state import decode_state, encode_state
from schemas.control import Counting, Goal

SITE = "https://shop.example.com"
AD = SITE + "/?utm_source=baidu&utm_medium=cpc&utm_campaign=spring"
HOUR, DAY = 60, 24 * 60
PER_SESSION = Goal("session_order", "", "macro", "purchase", ("revenue",), counting=Counting.ONCE_PER_SESSION)

MakePerson = Callable[..., Any]


def change_gap(person: Any, minutes: int) -> None:
    person.rules = replace(person.rules, gap_ms=minutes * 60_000)


@pytest.mark.parametrize("is_by_event", [True, False])
def test_a_greater_gap_joins_sessions_and_takes_back_what_is_no_more(person: Any, is_by_event: bool) -> None:
    person.does("page_view", 0, "t0", page_url=AD)
    person.does("page_view", 40, "t1", page_url=AD)
    person.does("purchase", 41, "p0", properties={"revenue": 1})
    first, second = person.publish()
    change_gap(person, 60)
    if is_by_event:
        person.does("page_view", 50)
    assert [(row.session_id, row.events) for row in person.sessions()] == [(first.session_id, 3 + is_by_event)]
    assert [row.session_id for row in person.effects.sessions if row.is_deleted] == [second.session_id]
    assert [row.touch_id for row in person.touches()] == ["t0"]
    assert [row.session_id for row in person.conversions()] == [first.session_id]
    (row,) = person.attributions()
    assert (row.reason, row.revision, row.touch_ids) == ("config", 2, ["t0"])


def test_a_smaller_gap_divides_at_midnight_and_keeps_what_is_counted_together(make_person: MakePerson) -> None:
    person = make_person(goals=(PER_SESSION,), session_gap_seconds=12 * 3600)
    for hour, order in ((1, "monday"), (3, "monday too"), (14.5, "tuesday")):
        person.does("purchase", hour * HOUR, order, properties={"revenue": 1})
    assert [row.event_id for row in person.conversions()] == ["monday"]
    assert [row.events for row in person.sessions()] == [3]
    change_gap(person, 30)
    assert [row.events for row in person.sessions()] == [2, 1]
    assert [row.event_id for row in person.conversions()] == ["monday", "tuesday"]


def test_final_sessions_stay_until_a_merge_reaches_them(make_person: MakePerson) -> None:
    user, anonymous = make_person(), make_person(user_id="", anonymous_id="a1")
    user.does("page_view", 0, "t0", page_url=AD)
    user.does("page_view", 40, "t1", page_url=AD)
    before = user.sessions()
    user.publish(5 * DAY)
    change_gap(user, 60)
    user.does("page_view", 5 * DAY, "t5")
    assert [row.session_id for row in user.sessions()][:2] == [row.session_id for row in before]
    anonymous.does("page_view", 5 * DAY, "t6")
    anonymous.becomes(user)
    assert [row.events for row in user.sessions()] == [1, 1, 2]
    other = make_person(user_id="", anonymous_id="a2")
    other.does("page_view", 45, "t2")
    other.becomes(user)
    assert [row.events for row in user.sessions()] == [3, 2]
    assert [row.touch_id for row in user.touches()] == ["t0", "t5"]


def test_a_forwarded_event_finds_final_sessions_of_another_gap(make_person: MakePerson) -> None:
    user, anonymous = make_person(), make_person(user_id="", anonymous_id="a1")
    user.does("page_view", 0, "t0", page_url=AD)
    user.does("page_view", 40, "t1", page_url=AD)
    user.publish(5 * DAY)
    change_gap(user, 60)
    anonymous.becomes(user)
    anonymous.does("page_view", 45, "t2")
    assert [row.events for row in user.sessions()] == [3]
    assert [row.touch_id for row in user.touches()] == ["t0"]


def test_a_state_of_before_it_knew_its_gap_takes_that_of_the_rules(person: Any) -> None:
    person.does("page_view", 0)
    person.does("page_view", 40)
    before = person.publish()
    person.state.gap_ms = 0
    person.state = decode_state(encode_state(person.state))
    assert person.sessions() == before
    assert person.state.gap_ms == person.rules.gap_ms
