"""Stories: an anonymous visitor turns out to be a user."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pipeline.domain import archive, merging
from pipeline.domain import state as limits
from pipeline.domain.effects import Effects
from pipeline.domain.journey import has_unpublished, is_expired, next_timer_ms
from pipeline.domain.merging import LinkOutcome
from pipeline.domain.state import PersonState, decode_state, encode_state, new_state
from schemas.control import Counting, Goal

SITE = "https://shop.example.com"
AD = SITE + "/?utm_source=baidu&utm_medium=cpc&utm_campaign=spring"
MAIL = SITE + "/?utm_source=newsletter&utm_medium=email&utm_campaign=may"
HOUR, DAY = 60, 24 * 60
START_MS = 20_000 * 86_400_000 + 10 * 3_600_000
FIRST = Goal("first_order", "", "macro", "purchase", ("revenue",), counting=Counting.ONCE_PER_PERSON)
VISIT = Goal("visit_order", "", "macro", "purchase", ("revenue",), counting=Counting.ONCE_PER_SESSION)
EVERY = Goal("order", "", "macro", "purchase", ("revenue",))

MakePerson = Callable[..., Any]


@pytest.fixture
def pair(make_person: MakePerson) -> Callable[..., tuple[Any, Any]]:
    """(anonymous person a1, user u1) of one app"""

    def make(**settings: Any) -> tuple[Any, Any]:
        return make_person(user_id="", anonymous_id="a1", **settings), make_person(user_id="u1", **settings)

    return make


Pair = Callable[..., tuple[Any, Any]]


def buy(person: Any, minutes: float, event_id: str, revenue: float = 1, **fields: Any) -> None:
    person.does("purchase", minutes, event_id, properties={"revenue": revenue} | fields)


# Links


def test_the_first_user_owns_the_anonymous_id() -> None:
    state, effects = new_state(), Effects()

    def link(user_id: str, event_id: str, second: int) -> LinkOutcome:
        return merging.apply_link(state, "shop", "a1", user_id, second * 1000, event_id, second, effects)

    assert link("u1", "e1", 5) is LinkOutcome.NEW_OWNER
    assert merging.is_moving(state)
    assert [link("u1", "e2", 6), link("u2", "e3", 7), link("u2", "e4", 8)] == [
        LinkOutcome.KNOWN,
        LinkOutcome.NEW_OTHER,
        LinkOutcome.KNOWN,
    ]
    assert [(row.user_id, row.event_id, row.is_owner) for row in effects.links] == [
        ("u1", "e1", True),
        ("u2", "e3", False),
    ]
    assert merging.owner_of(state) == "u1"
    assert merging.hand_over(state) == b""
    assert merging.is_moved(state)
    assert (link("u1", "e5", 9), link("u3", "e6", 9)) == (LinkOutcome.KNOWN, LinkOutcome.NEW_OTHER)
    with pytest.raises(ValueError, match="no journey"):
        merging.hand_over(state)


def test_users_of_a_shared_device_are_bounded_and_the_owner_stays() -> None:
    state = new_state()
    for number in range(merging.MAX_LINKED_USERS + 5):
        merging.link(state, f"u{number}", 0, "e", number)
    assert state.links is not None
    assert len(state.links.users) == merging.MAX_LINKED_USERS
    assert (merging.owner_of(state), state.links.users[1]) == ("u0", "u6")


# What moves


def test_sessions_touches_and_conversions_become_the_users(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.does("page_view", 0, "t0", page_url=AD)
    buy(anonymous, 5, "p0", 10, order_id="o-1")
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
    buy(user, 2 * DAY + 1, "p0", 10)
    assert user.attributions()[0].touch_ids == ["t1"]
    anonymous.becomes(user)
    (row,) = user.attributions()
    assert (row.touch_ids, row.reason, row.revision) == (["t0", "t1"], "merge", 2)
    buy(user, 2 * DAY + 2, "p1")
    assert [(row.revision, row.reason) for row in user.attributions()] == [(2, "merge"), (1, "initial")]


def test_conversions_that_nothing_changes_for_are_not_written_again(pair: Pair) -> None:
    anonymous, user = pair()
    buy(user, 0, "p0")
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
    buy(anonymous, 0, "p0")
    journey = anonymous.becomes(user)
    before, rows = encode_state(user.state), len(user.effects.sessions)
    user.absorbs(journey, "a1")
    assert encode_state(user.state) == before
    assert len(user.effects.sessions) == rows


def test_events_that_come_after_are_forwarded_and_their_repeats_marked(pair: Pair) -> None:
    anonymous, user = pair()
    buy(anonymous, 0, "p0")
    anonymous.becomes(user)
    buy(anonymous, 5, "p1")
    buy(anonymous, 5, "p1")
    buy(anonymous, 0, "p0")
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
    buy(anonymous, 0, "p0", 100, order_id="o-1")
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
    buy(anonymous, 0, "p0", 100, order_id="o-1")
    anonymous.does("refund", 60, "r0", properties={"order_id": "o-1", "amount": 70})
    user.does("refund", 61, "r1", properties={"order_id": "o-1", "amount": 70})
    anonymous.becomes(user)
    (conversion,) = user.conversions()
    assert (conversion.refunded_minor, conversion.refund_excess_minor) == (10_000, 4_000)


# Counting


def test_counted_once_per_person_on_both_sides_the_later_one_is_taken_back(pair: Pair) -> None:
    for days in (1, 9):  # the earlier one's session is open, or final
        anonymous, user = pair(goals=(FIRST,))
        buy(anonymous, 0, "earlier", 3)
        buy(user, days * DAY, "later", 7)
        user.publish(days * DAY + 3 * DAY)
        anonymous.becomes(user)
        assert [row.event_id for row in user.conversions()] == ["earlier"]
        assert [row.conversions for row in user.sessions()] == [1, 0]
        (gone,) = [row for row in user.effects.attributions if row.is_deleted]
        assert (gone.reason, gone.revision, gone.supersedes) == ("merge", 2, 1)
        buy(user, days * DAY + 3 * DAY, "third")
        assert [row.event_id for row in user.conversions()] == ["earlier"]


def test_the_anonymous_one_goes_where_the_user_was_first(pair: Pair) -> None:
    anonymous, user = pair(goals=(FIRST,))
    buy(user, 0, "earlier")
    buy(anonymous, DAY, "later")
    anonymous.becomes(user)
    assert [row.event_id for row in user.conversions()] == ["earlier"]
    assert [row.conversions for row in user.sessions()] == [1, 0]


def test_counted_once_per_session_in_a_session_that_is_joined(pair: Pair) -> None:
    anonymous, user = pair(goals=(VISIT,))
    buy(anonymous, 0, "earlier")
    buy(user, 10, "later")
    anonymous.becomes(user)
    assert [row.event_id for row in user.conversions()] == ["earlier"]


def test_sessions_final_long_ago_are_cut_when_a_merge_makes_their_chain_longer_than_a_day(pair: Pair) -> None:
    """20 hours over midnight are one session, which counts one order. What the user did before makes it 30: it is cut,
    and the order after midnight counts as well."""
    anonymous, user = pair(goals=(VISIT,), session_gap_seconds=12 * 3600)
    buy(anonymous, 4 * HOUR, "monday")
    buy(anonymous, 15 * HOUR, "tuesday")
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


def test_the_newest_touches_are_found_whatever_was_thawed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.domain.paths.MAX_TOUCHES", 3)
    anonymous, user = pair()
    anonymous.does("page_view", 1 * DAY, "t1", page_url=AD)
    anonymous.does("page_view", 3 * DAY, "t3", page_url=AD)
    user.does("page_view", 4 * DAY, "t4", page_url=MAIL)
    for each in (anonymous, user):
        each.publish(9 * DAY)
    user.state.archive = b""  # as at its bound
    buy(user, 9 * DAY, "t9")
    anonymous.becomes(user)
    assert user.attributions()[0].touch_ids == ["t3", "t4", "t9"]


# Bounds


def test_the_archive_is_bounded_in_time_and_size(person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(40):
        person.does("page_view", day * DAY, page_url=AD)
        person.publish()
    (oldest_ms,) = [archive.oldest_start_ms(person.state)]
    assert oldest_ms == START_MS + 8 * 86_400_000  # 39 days, less the lateness and 30
    size = len(person.state.archive)
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", size)
    person.does("page_view", 40 * DAY, page_url=AD)
    person.publish(42 * DAY)
    assert size // 2 < len(person.state.archive) <= size


def test_what_is_older_than_the_archive_stays_the_anonymous_ids(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.does("page_view", 0, "old", page_url=AD)
    anonymous.publish(5 * DAY)
    anonymous.does("page_view", 33 * DAY, "new", page_url=MAIL)
    anonymous.publish()
    buy(user, 34 * DAY, "p0")
    anonymous.becomes(user)
    assert [row.person_key for row in user.sessions()] == ["a:a1", "u:u1", "u:u1"]
    assert {row.touch_id: row.person_key for row in user.touches()} == {"old": "a:a1", "new": "u:u1", "p0": "u:u1"}
    assert user.attributions()[0].touch_ids == ["new", "p0"]


def test_an_ordinary_event_does_not_decode_the_archive(person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    person.does("page_view", 0, page_url=AD)
    person.publish(5 * DAY)
    kept = person.state.archive
    assert kept

    def refuse(*_: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(archive, "_inflated", refuse)
    buy(person, 5 * DAY, "p0")
    buy(person, 4 * DAY + 1, "p1")  # a late one
    person.publish(9 * DAY)
    assert person.state.archive.startswith(kept)
    assert len(person.conversions()) == 2


def test_conversions_beyond_the_bound_are_the_users_all_the_same(pair: Pair) -> None:
    anonymous, user = pair(goals=(EVERY,))
    for number in range(limits.MAX_CONVERSIONS):
        buy(anonymous, 2 * number, f"a{number:03}")
        buy(user, 2 * number + 1, f"u{number:03}")
    anonymous.becomes(user)
    rows = user.conversions()
    assert {row.person_key for row in rows} == {"u:u1"}
    assert len(rows) == 2 * limits.MAX_CONVERSIONS
    assert len(user.state.conversions) == limits.MAX_CONVERSIONS
    assert user.state.conversions[-1].event_id == f"u{limits.MAX_CONVERSIONS - 1:03}"
    (session,) = user.sessions()
    assert session.conversions == 2 * limits.MAX_CONVERSIONS


def test_touches_and_ids_of_both_are_bounded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.domain.seen.MAX_SEEN", 30)
    anonymous, user = pair()
    for number in range(limits.MAX_TOUCHES):
        for offset, each in ((0, anonymous), (1, user)):
            each.does("ad_click", number * 4 * HOUR + offset, properties={"channel": f"feed{number}"})
            each.publish()
    anonymous.becomes(user)
    assert len(user.state.touches) <= limits.MAX_TOUCHES
    assert (len(user.state.seen_ids), len(user.state.taken_ids)) == (30 * 8, 30 * 8)
    anonymous.does("ad_click", 100 * 4 * HOUR, f"e{limits.MAX_TOUCHES - 1}")
    assert [mark.mark for mark in user.effects.marks] == ["duplicate"]


def test_a_user_takes_in_many_anonymous_ids_and_remembers_the_last(make_person: MakePerson) -> None:
    user = make_person()
    journeys = []
    for number in range(merging.MAX_MERGED + 1):
        other = make_person(user_id="", anonymous_id=f"a{number}")
        other.does("page_view", number, f"e{number:03}")
        journeys.append(other.becomes(user))
    assert len(user.state.merged) == 8 * merging.MAX_MERGED
    (session,) = user.sessions()
    assert session.events == merging.MAX_MERGED + 1
    user.absorbs(journeys[-1], f"a{merging.MAX_MERGED}")
    assert user.sessions() == [session]


def test_an_event_both_have_counted_is_one_conversion(pair: Pair) -> None:
    """Sent anonymously, and again when the user was known: two persons' events, so neither was a repeat."""
    anonymous, user = pair(goals=(EVERY,))
    for each in (anonymous, user):
        buy(each, 0, "p0", 10)
    anonymous.effects.clear()
    anonymous.becomes(user)
    (row,) = user.attributions()
    assert (row.person_key, row.reason, row.revision) == ("u:u1", "merge", 2)
    assert len(user.conversions()) == len(user.state.conversions) == 1


# Stubs and old states


def test_a_stub_is_kept_for_400_days_after_its_last_use(pair: Pair) -> None:
    anonymous, user = pair()
    anonymous.does("page_view", 0)
    anonymous.becomes(user)
    state, rules = anonymous.state, anonymous.rules
    assert not has_unpublished(state)
    expires_ms = START_MS + 1000 + 400 * 86_400_000
    assert next_timer_ms(state, rules) == expires_ms
    assert not merging.note_forwarded(state, START_MS // 1000 + 3600)
    assert merging.note_forwarded(state, START_MS // 1000 + 86_400)
    assert not is_expired(state, rules, expires_ms)
    assert is_expired(state, rules, expires_ms + 86_400_000)


def test_a_moving_journey_does_not_expire(pair: Pair) -> None:
    anonymous, _ = pair()
    anonymous.does("page_view", 0)
    merging.link(anonymous.state, "u1", 0, "e", 0)
    anonymous.publish(900 * DAY)
    assert not is_expired(anonymous.state, anonymous.rules, START_MS + 900 * 86_400_000)


def test_after_its_stub_has_expired_an_id_begins_another_journey(pair: Pair, make_person: MakePerson) -> None:
    anonymous, user = pair()
    anonymous.does("page_view", 0, "e0")
    anonymous.becomes(user, 1)
    again = make_person(user_id="", anonymous_id="a1")
    again.does("page_view", 500 * DAY, "e1")
    again.becomes(user, 500 * DAY)
    assert [row.events for row in user.sessions()] == [1, 1]


def test_states_of_before_merging_are_read(person: Any) -> None:
    person.does("page_view", 0, page_url=AD)
    fields = msgspec.msgpack.decode(encode_state(person.state))
    count = PersonState.__struct_fields__.index("archive")
    old = decode_state(msgspec.msgpack.encode(fields[:count]))
    assert old == msgspec.structs.replace(person.state, gap_ms=0)
    assert (old.archive, old.links, old.merged, old.taken_ids) == (b"", None, b"", b"")
