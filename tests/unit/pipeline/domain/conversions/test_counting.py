"""Goals counted once per session or person: the earliest event counts, however late it comes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.domain import state as limits
from pipeline.domain.apply import is_expired
from pipeline.domain.rules import compile_rules
from schemas.control import App, Counting, Goal

SESSION = Goal("session_order", "", "macro", "purchase", ("revenue",), counting=Counting.ONCE_PER_SESSION)
PERSON = Goal("first_order", "", "macro", "purchase", ("revenue",), counting=Counting.ONCE_PER_PERSON)
EVERY = Goal("order", "", "macro", "purchase", ("revenue",))
HOUR, DAY = 60, 24 * 60
START_MS = 20_000 * 86_400_000 + 10 * 3_600_000
MakePerson = Callable[..., Any]


def counted(person: Any) -> list[str]:
    rows = person.conversions()
    assert {row.conversion_id for row in rows} == {row.conversion_id for row in person.attributions()}
    sessions = person.sessions()
    assert sum(session.conversions for session in sessions) == len(rows)
    assert sum(session.values_minor.get("CNY", 0) for session in sessions) == sum(row.value_minor for row in rows)
    return sorted(row.event_id for row in rows)


def test_once_per_session_the_earliest_counts_in_any_order(make_person: MakePerson) -> None:
    person = make_person(goals=(SESSION,))
    person.buys(10, "second", 10)
    person.buys(20, "third")
    assert counted(person) == ["second"]
    person.buys(5, "first", 5)
    assert counted(person) == ["first"]
    person.buys(60, "another session")
    assert counted(person) == ["another session", "first"]
    taken_back = [row for row in person.effects.conversions if row.is_deleted]
    assert [(row.event_id, row.converted_at_ms) for row in taken_back] == [("second", START_MS + 600_000)]
    gone = [row for row in person.effects.attributions if row.is_deleted]
    assert [(row.revision, row.supersedes, row.reason) for row in gone] == [(2, 1, "late_touch")]


def test_of_one_instant_the_smaller_event_id_counts(make_person: MakePerson) -> None:
    person = make_person(goals=(SESSION, PERSON))
    person.buys(0, "b")
    person.buys(0, "a")
    assert counted(person) == ["a", "a"]


def test_sessions_that_join_keep_the_earlier_conversion(make_person: MakePerson) -> None:
    person = make_person(goals=(SESSION,))
    person.buys(0, "early")
    person.buys(40, "late")
    assert counted(person) == ["early", "late"]
    person.does("page_view", 20)
    assert counted(person) == ["early"]


def test_a_session_that_is_divided_counts_both_again(make_person: MakePerson) -> None:
    """A chain over midnight is one session up to 24 hours; one more event makes it longer, so it is cut at midnight."""
    person = make_person(goals=(SESSION,), session_gap_seconds=12 * 3600)
    person.buys(4 * HOUR, "monday")
    person.buys(15 * HOUR, "tuesday")
    assert counted(person) == ["monday"]
    person.does("page_view", 26 * HOUR)
    person.does("page_view", 29 * HOUR)
    assert counted(person) == ["monday", "tuesday"]
    tuesday = next(row for row in person.attributions() if row.reason == "initial" and row.revision == 1)
    assert tuesday.supersedes == 0


def test_what_counted_and_was_taken_back_counts_again_under_a_further_revision(make_person: MakePerson) -> None:
    person = make_person(goals=(SESSION,), session_gap_seconds=12 * 3600, allowed_lateness_seconds=2 * 86_400)
    person.buys(15 * HOUR, "tuesday")
    person.buys(4 * HOUR, "monday")
    assert counted(person) == ["monday"]
    person.does("page_view", 26 * HOUR)
    person.does("page_view", 29 * HOUR)
    assert counted(person) == ["monday", "tuesday"]
    revisions = [(row.revision, row.is_deleted) for row in person.effects.attributions]
    assert sorted(revisions) == [(1, False), (1, False), (2, True), (3, False)]


def test_once_per_person_whatever_lies_between(make_person: MakePerson) -> None:
    person = make_person(goals=(PERSON,))
    person.buys(0, "first")
    person.publish(5 * DAY)
    person.buys(10 * DAY, "second")
    person.publish(60 * DAY)
    person.buys(60 * DAY, "third")
    assert counted(person) == ["first"]


def test_a_late_first_of_the_person_takes_over_from_another_session(make_person: MakePerson) -> None:
    person = make_person(goals=(PERSON, EVERY))
    person.buys(5 * HOUR, "later", 7)
    person.publish()
    person.buys(0, "earlier", 3)
    assert counted(person) == ["earlier", "earlier", "later"]
    assert [session.conversions for session in person.sessions()] == [2, 1]
    assert [session.values_minor for session in person.sessions()] == [{"CNY": 600}, {"CNY": 700}]


def test_a_persons_first_is_remembered_for_400_days(make_person: MakePerson) -> None:
    person = make_person(goals=(PERSON,))
    person.buys(0, "first")
    person.does("page_view", 350 * DAY)
    person.publish(399 * DAY)
    assert person.state.conversions == []
    assert not is_expired(person.state, person.rules, START_MS + 750 * 86_400_000)
    assert is_expired(person.state, person.rules, START_MS + 753 * 86_400_000)


def test_an_earlier_one_takes_over_even_beyond_the_bound_of_conversions_kept(make_person: MakePerson) -> None:
    person = make_person(goals=(SESSION, PERSON, EVERY))
    person.buys(5, "second")
    for number in range(limits.MAX_CONVERSIONS + 3):
        person.buys(6 + number / 100, f"x{number:03}")
    assert len(person.state.conversions) == limits.MAX_CONVERSIONS
    person.buys(1, "first")
    of_goal = [row.event_id for row in person.conversions() if row.goal != "order"]
    assert of_goal == ["first", "first"]
    assert len([row for row in person.attributions() if row.goal != "order"]) == 2
    assert sum(session.conversions for session in person.sessions()) == len(person.conversions())


def test_those_waiting_to_count_do_not_outlive_their_archived_session(make_person: MakePerson) -> None:
    person = make_person(goals=(SESSION,), session_gap_seconds=12 * 3600)
    person.buys(4 * HOUR, "monday")
    person.buys(15 * HOUR, "tuesday")
    assert [found.is_counted for found in person.state.conversions] == [True, False]
    person.publish(5 * DAY)
    assert [found.event_id for found in person.state.conversions] == ["monday", "tuesday"]
    person.state.archive = b""
    person.buys(6 * DAY, "saturday")
    person.publish(10 * DAY)
    assert [found.event_id for found in person.state.conversions] == ["monday", "saturday"]


def test_a_change_of_goals_counts_from_then_on(make_person: MakePerson) -> None:
    person = make_person(goals=(EVERY,))
    person.buys(0, "p0")
    changed = replace(EVERY, counting=Counting.ONCE_PER_SESSION, version=2)
    person.rules = compile_rules(App("shop", "Shop", goals=(changed,)))
    person.buys(1, "p1")
    person.buys(2, "p2")
    assert [(row.event_id, row.goal_version) for row in person.conversions()] == [("p0", 1), ("p1", 2)]
    assert counted(person) == ["p0", "p1"]


@pytest.mark.parametrize("goals", [(SESSION,), (PERSON,)])
def test_a_replay_after_a_crash_takes_back_the_same_rows(make_person: MakePerson, goals: tuple[Goal, ...]) -> None:
    rows = []
    for _ in range(2):
        person = make_person(goals=goals)
        person.buys(10, "second")
        person.buys(5, "first")
        rows.append((person.effects.conversions, person.effects.attributions))
    assert rows[0] == rows[1]
