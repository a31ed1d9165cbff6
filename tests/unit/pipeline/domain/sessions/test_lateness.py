"""Events from before the watermark less the lateness: which of them count."""

from collections.abc import Callable
from typing import Any

import pytest
from stories import AD, DAY, START_MS

from pipeline.domain.apply import is_expired
from pipeline.domain.sessions import publishing
from pipeline.domain.state import encode_state, new_state

NOW = 9 * DAY
MakePerson = Callable[..., Any]


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch, person: Any) -> None:
    """Live traffic beside the person has moved the watermark on."""
    person.watermark_ms = START_MS + NOW * 60_000


def sends(person: Any, name: str, minutes: float, event_id: str = "", at: float = NOW, **fields: Any) -> None:
    """What happened at `minutes` is received at `at`."""
    received_ms = START_MS + int(at * 60_000)
    person.watermark_ms = max(person.watermark_ms, received_ms - 60_000)
    person.does(name, minutes, event_id, received_us=received_ms * 1000, **fields)


def marks(person: Any) -> list[tuple[str, str]]:
    return [(mark.mark, mark.event_id) for mark in person.effects.marks]


def test_the_past_of_a_person_never_seen_counts(person: Any) -> None:
    sends(person, "page_view", 7 * DAY, "t0", page_url=AD)
    sends(person, "purchase", 7 * DAY + 10, "p0", properties={"revenue": 5})
    assert marks(person) == []
    assert [(row.events, row.conversions, row.is_closed) for row in person.sessions()] == [(2, 1, True)]
    assert [row.touch_ids for row in person.attributions()] == [["t0"]]


def test_batches_of_a_past_may_come_in_any_order_over_hours(person: Any) -> None:
    for hour, day in enumerate([5, 2, 7, 1, 6]):
        at = NOW + hour * 60
        sends(person, "purchase", day * DAY + 20, f"p{day}", at=at)
        sends(person, "page_view", day * DAY, f"t{day}", at=at, page_url=AD)
        person.publish()
    sends(person, "page_view", 5 * DAY + 10, at=NOW + 5 * 60)
    assert marks(person) == []
    assert [row.events for row in person.sessions()] == [2, 2, 3, 2, 2]
    paths = {row.conversion_id: row.touch_ids for row in person.attributions()}
    assert sorted(map(len, paths.values())) == [1, 2, 3, 4, 5]


def test_a_day_after_the_last_batch_the_past_is_final(person: Any) -> None:
    sends(person, "page_view", 5 * DAY)
    sends(person, "page_view", 3 * DAY, "in time", at=NOW + DAY)
    person.publish()
    assert len(person.state.segments) == 2
    sends(person, "page_view", 2 * DAY, "late", at=NOW + 2 * DAY + 2)
    assert marks(person) == [("late", "late")]
    sends(person, "page_view", 6 * DAY, "after all that is final", at=NOW + 2 * DAY + 3)
    sends(person, "page_view", 5 * DAY, "final before it", at=NOW + 2 * DAY + 4)
    assert marks(person) == [("late", "late"), ("late", "final before it")]
    assert [row.events for row in person.sessions()] == [1, 1, 1]


def test_somebody_first_seen_today_has_nothing_final(person: Any) -> None:
    sends(person, "page_view", NOW)
    sends(person, "page_view", 2 * DAY)
    assert marks(person) == []
    assert [row.events for row in person.sessions()] == [1, 1]


def test_what_is_held_open_is_bounded(person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest sessions of a long past are final then, with their rows, and what is before them is late."""
    monkeypatch.setattr(publishing, "MAX_HELD_SEGMENTS", 10)
    for number in range(30):
        sends(person, "page_view", number * 60)
        assert len(person.state.segments) <= 10
    assert len([row for row in person.sessions() if row.is_closed]) == 30
    sends(person, "page_view", 30, "late")
    assert marks(person) == [("late", "late")]


def test_touches_held_open_are_bounded_in_live_traffic_too(person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many sessions with many campaigns the old ones are final. Their touches stay, as those of others do."""
    monkeypatch.setattr(publishing, "MAX_HELD_TOUCHES", 10)
    for number in range(40):
        page_url = f"{AD}&utm_campaign=c{number}"
        person.does("page_view", NOW + number // 4 * 40 + number % 4, f"t{number:02}", page_url=page_url)
        assert sum(len(segment.touches) for segment in person.state.segments) <= 10 or len(person.state.segments) == 1
    person.buys(NOW + 400, "order")
    person.does("page_view", NOW + 1, "before", page_url=AD)
    assert marks(person) == [("late", "before")]
    assert [row.touch_ids for row in person.attributions()] == [[f"t{number:02}" for number in range(0, 40, 4)]]
    assert len([row for row in person.sessions() if row.is_closed]) == len(person.sessions()) - 1


def test_the_state_of_an_old_version_has_its_past(person: Any) -> None:
    person.does("page_view", 0)
    person.state.first_ms = 0
    sends(person, "page_view", 10, "late")
    assert marks(person) == [("late", "late")]


def test_a_late_event_leaves_the_state_as_it_was(person: Any) -> None:
    sends(person, "page_view", 0, at=0)
    person.publish()
    before = encode_state(person.state)
    sends(person, "page_view", -5, "late")
    person.state.seen_ids, person.state.seen_times = person.state.seen_ids[:8], person.state.seen_times[:12]
    person.state.received_s = START_MS // 1000
    assert encode_state(person.state) == before


def test_the_past_of_an_anonymous_id_moves_with_it(pair: Callable[..., Any]) -> None:
    anonymous, user = pair()
    for each in (anonymous, user):
        each.watermark_ms = START_MS + NOW * 60_000
    sends(anonymous, "page_view", 2 * DAY, "t0", page_url=AD)
    anonymous.publish()
    sends(user, "purchase", 2 * DAY + 10, "p0", properties={"revenue": 5})
    anonymous.becomes(user)
    sends(anonymous, "page_view", 2 * DAY - 10, "t1", at=NOW + 60, page_url=AD)
    sends(user, "page_view", 2 * DAY + 20, "t2", at=NOW + 120)
    user.publish()
    assert user.effects.marks == []
    assert [(row.events, row.conversions) for row in user.sessions()] == [(4, 1)]
    assert [row.touch_ids for row in user.attributions()] == [["t1"]]


@pytest.mark.parametrize("is_dropped", [True, False])
def test_history_does_not_ask_whether_the_timer_of_an_old_state_has_fired(
    make_person: MakePerson, is_dropped: bool
) -> None:
    """A worker drops a state some time after it has expired."""
    person = make_person()
    sends(person, "page_view", 0, "t0", at=0, page_url=AD)
    person.publish(60 * DAY)
    assert is_expired(person.state, person.rules, person.watermark_ms)
    if is_dropped:
        person.state = new_state()
    sends(person, "purchase", 20 * DAY, "p0", at=60 * DAY + 1, properties={"revenue": 5})
    sends(person, "purchase", -DAY, "p1", at=60 * DAY + 2, properties={"revenue": 5})
    assert marks(person) == []
    found = [(row.event_id, row.revision, row.path_touch_ids) for row in person.conversions()]
    assert found == [("p0", 1, []), ("p1", 1, [])]
