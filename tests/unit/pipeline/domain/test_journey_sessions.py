"""Stories: a person's events become sessions, or do not count."""

import struct
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from stories import AD, BAIDU, DAY, HOUR, SITE, START_MS, MakePerson

from pipeline.domain.apply import apply_event, has_unpublished, next_timer_ms
from pipeline.domain.context import PersonContext
from pipeline.domain.state import encode_state
from schemas.events import StreamEvent

# Sessions


def test_a_gap_of_thirty_minutes_ends_a_session(person: Any) -> None:
    person.does("page_view", 0)
    person.does("page_view", 29.99)
    person.does("page_view", 30)
    person.does("page_view", 60)
    assert [(row.events, row.page_views) for row in person.sessions()] == [(3, 3), (1, 1)]


def test_the_session_row(make_person: MakePerson) -> None:
    person = make_person(user_id="u1", anonymous_id="a1")
    person.does("page_view", 0, page_url=AD, referrer=BAIDU)
    person.does("click_button", 1, page_url=AD)
    person.does("page_view", 2, page_url=SITE + "/thanks")
    person.does("purchase", 3, properties={"revenue": 9.5})
    (row,) = person.sessions()
    assert (row.user_id, row.anonymous_id, row.person_key) == ("u1", "a1", "u:u1")
    assert (row.start_ms, row.end_ms, row.events, row.page_views) == (START_MS, START_MS + 180_000, 4, 2)
    assert (row.entry_page, row.exit_page) == (AD, SITE + "/thanks")
    assert (row.channel, row.source, row.medium, row.campaign) == ("paid_search", "baidu", "cpc", "spring")
    assert (row.conversions, row.values_minor, row.is_bounce, row.is_closed) == (1, {"CNY": 950}, False, False)


def test_a_session_closes_when_the_watermark_passes_its_end_by_the_gap(person: Any) -> None:
    person.does("page_view", 0)
    (opened,) = person.publish(0)
    assert person.publish(29.9) == []
    (closed,) = person.publish(30)
    assert (opened.is_closed, closed.is_closed) == (False, True)
    assert closed.revision == opened.revision + 1
    assert opened.is_bounce
    assert person.publish(31) == []


def test_sessions_close_at_full_minutes_so_that_it_does_not_matter_when_they_are_written(person: Any) -> None:
    person.does("page_view", 0.5)
    (opened,) = person.publish(30.75)
    assert not opened.is_closed
    (closed,) = person.publish(31)
    assert closed.is_closed


def test_a_late_event_reopens_restates_and_joins(person: Any) -> None:
    person.does("page_view", 0)
    person.does("page_view", 50)
    first, second = person.publish(200)
    person.does("page_view", 25)
    rows = {row.session_id: row for row in person.publish()}
    assert rows[second.session_id].is_deleted
    assert rows[second.session_id].revision > second.revision
    joined = rows[first.session_id]
    assert (joined.events, joined.end_ms, joined.is_closed) == (3, START_MS + 50 * 60_000, True)
    assert joined.revision > first.revision


def test_an_earlier_start_gives_the_session_another_id(person: Any) -> None:
    person.does("page_view", 10)
    (before,) = person.publish()
    person.does("page_view", 0)
    taken_back, after = person.publish()
    assert (taken_back.session_id, taken_back.is_deleted) == (before.session_id, True)
    assert after.session_id != before.session_id
    assert [row.session_id for row in person.sessions()] == [after.session_id]


def test_a_session_across_midnight_is_one(person: Any) -> None:
    for hour in range(0, 20 * HOUR, 20):
        person.does("page_view", hour)
    (row,) = person.sessions()
    assert (row.events, row.end_ms - row.start_ms) == (60, 59 * 20 * 60_000)


def test_a_chain_longer_than_a_day_is_cut_at_midnights(person: Any) -> None:
    """From ten to ten is one session; one more event and there are two, and with them a touch at midnight."""
    for minute in range(0, DAY + 1, 20):
        person.does("page_view", minute, page_url=SITE + "/")
    assert [row.events for row in person.sessions()] == [73]
    assert [row.touch_id for row in person.touches()] == ["e0"]
    person.does("page_view", DAY + 20)
    assert [(row.events, row.start_ms % 86_400_000) for row in person.sessions()] == [(42, 36_000_000), (32, 0)]
    assert [row.touch_id for row in person.touches()] == ["e0", "e42"]


def test_a_chain_that_never_ends_keeps_a_bounded_state(person: Any) -> None:
    sizes, minutes = [], range(0, 10 * DAY, 25)
    for minute in minutes:
        person.does("page_view", minute, page_url=SITE + "/")
        if minute % DAY == 0:
            person.publish()
            sizes.append(len(person.state.segments))
    assert max(sizes) <= 3
    by_day = Counter((START_MS + minute * 60_000) // 86_400_000 for minute in minutes)
    assert [row.events for row in person.sessions()] == list(by_day.values())


@pytest.mark.parametrize("is_published_between", [True, False])
def test_a_session_taken_back_comes_back_when_its_chain_is_cut(
    make_person: MakePerson, is_published_between: bool
) -> None:
    person = make_person(session_gap_seconds=10 * 3600, allowed_lateness_seconds=3 * 86_400)
    person.does("page_view", 18 * HOUR)
    person.does("page_view", 27 * HOUR)
    (alone,) = person.publish()
    person.does("page_view", 10 * HOUR)  # 17 hours: one session, named by this event
    if is_published_between:
        assert [row.events for row in person.sessions()] == [3]
    person.does("page_view", 1 * HOUR)  # 26 hours: cut at midnight, the first session is there again
    cut = person.sessions()
    assert [row.events for row in cut] == [2, 2]
    assert cut[1].session_id == alone.session_id
    assert cut[1].revision > alone.revision


def test_a_chain_whose_beginning_is_final_stays_cut(make_person: MakePerson) -> None:
    """19 h apart from the first to the last event *kept*, but two days in all."""
    person = make_person(session_gap_seconds=10 * 3600, allowed_lateness_seconds=2 * 3600)
    for hour in (0, 9, 18, 27):
        person.does("page_view", hour * HOUR)
    person.publish()
    assert [segment.chain_start_ms for segment in person.state.segments] == [START_MS]
    for hour in (37.5, 36, 41):  # a session of its own, an event that joins it to the chain, the next day
        person.does("page_view", hour * HOUR)
    assert [row.events for row in person.sessions()] == [2, 4, 1]


# Events that do not count


def test_a_repeat_is_marked_with_the_time_of_the_one_that_counts(person: Any) -> None:
    person.does("purchase", 0, "p1", properties={"revenue": 5})
    before = encode_state(person.state)
    person.does("purchase", 1, "p1", properties={"revenue": 5})
    (mark,) = person.effects.marks
    assert (mark.mark, mark.event_id, mark.app_id) == ("duplicate", "p1", "shop")
    assert (mark.timestamp_ms, mark.first_timestamp_ms) == (START_MS + 60_000, START_MS)
    assert (mark.partition, mark.offset, mark.index) == (3, 1, 1)
    assert person.state.last_ms == START_MS + 60_000  # it was sent, see `lateness`
    person.state.last_ms = START_MS
    assert encode_state(person.state) == before
    assert len(person.effects.conversions) == 1


@pytest.mark.parametrize(("days", "marks"), [(6.9, ["duplicate"]), (7.1, [])])
def test_ids_are_remembered_for_seven_days_from_receipt(person: Any, days: float, marks: list[str]) -> None:
    person.does("page_view", 0, "p1")
    person.does("page_view", 1, "p1", received_us=int((START_MS + days * 86_400_000) * 1000))
    assert [mark.mark for mark in person.effects.marks] == marks


def test_an_id_that_aged_out_and_came_again_is_remembered_anew(person: Any) -> None:
    for day in (0, 8, 9):
        person.does("page_view", day * DAY, "p1")
    assert [mark.timestamp_ms for mark in person.effects.marks] == [START_MS + 9 * 86_400_000]
    assert person.effects.marks[0].first_timestamp_ms == START_MS + 8 * 86_400_000


def test_ids_seen_are_capped_and_the_oldest_are_forgotten(person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.domain.sessions.event_ids.MAX_SEEN", 3)
    for name in ("a", "b", "c", "d"):
        person.does("page_view", 0, name)
    person.does("page_view", 0, "b")
    assert [mark.event_id for mark in person.effects.marks] == ["b"]
    person.does("page_view", 0, "a")
    assert len(person.effects.marks) == 1


def test_an_event_before_what_is_final_is_marked_and_changes_nothing(person: Any) -> None:
    person.does("page_view", 0)
    person.does("page_view", 2 * DAY)
    person.publish()
    person.does("page_view", DAY - 0.01, "late")
    person.does("page_view", DAY, "in time")
    (mark,) = person.effects.marks
    assert (mark.mark, mark.event_id, mark.first_timestamp_ms) == ("late", "late", mark.timestamp_ms)
    assert [row.events for row in person.sessions()] == [1, 1, 1]
    person.does("page_view", DAY - 0.01, "late")
    assert person.effects.marks[-1].mark == "duplicate"


def test_what_is_put_away_is_joined_by_an_event_that_is_not_late(person: Any) -> None:
    """A longer lateness is set while sessions are final by the one before."""
    person.does("page_view", 0)
    person.publish(3 * DAY)
    assert person.state.segments == []
    person.rules = replace(person.rules, lateness_ms=5 * 86_400_000)
    person.does("page_view", 5)
    assert person.effects.marks == []
    assert [row.events for row in person.sessions()] == [2]


def test_nobodys_event_is_remembered_and_nothing_else(make_person: MakePerson) -> None:
    nobody = make_person(user_id="")
    nobody.does("purchase", 0, "p1", properties={"revenue": 5}, page_url=AD)
    assert nobody.effects.is_empty
    assert not has_unpublished(nobody.state)
    nobody.does("purchase", 0, "p1", properties={"revenue": 5})
    assert [mark.mark for mark in nobody.effects.marks] == ["duplicate"]
    assert next_timer_ms(nobody.state, nobody.rules) == START_MS + 7 * 86_400_000 + 1000


@pytest.mark.parametrize("field", ["timestamp_ms", "received_us"])
def test_absurd_times_are_refused_before_anything_changes(person: Any, field: str) -> None:
    person.does("page_view", 0)
    before = encode_state(person.state)
    good = StreamEvent("shop", "bad", "page_view", START_MS, START_MS * 1000, "u1")
    setattr(good, field, 10**30)
    with pytest.raises(struct.error):
        _apply(person, good)
    assert encode_state(person.state) == before


def _apply(person: Any, event: StreamEvent) -> None:
    apply_event(PersonContext(person.state, event.app_id, "u:u1", person.rules, 0, person.effects, (0, 0, 0)), event)
