"""Stories: what a merge keeps and for how long, and states of before there were any."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pipeline.domain import state as limits
from pipeline.domain.apply import has_unpublished, is_expired, next_timer_ms
from pipeline.domain.identity import stitching
from pipeline.domain.sessions import archive
from pipeline.domain.state import PersonState, decode_state, encode_state
from schemas.control import Goal

SITE = "https://shop.example.com"
AD = SITE + "/?utm_source=baidu&utm_medium=cpc&utm_campaign=spring"
MAIL = SITE + "/?utm_source=newsletter&utm_medium=email&utm_campaign=may"
HOUR, DAY = 60, 24 * 60
START_MS = 20_000 * 86_400_000 + 10 * 3_600_000
EVERY = Goal("order", "", "macro", "purchase", ("revenue",))

MakePerson = Callable[..., Any]
Pair = Callable[..., tuple[Any, Any]]


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
    user.buys(34 * DAY, "p0")
    anonymous.becomes(user)
    assert [row.person_key for row in user.sessions()] == ["a:a1", "u:u1", "u:u1"]
    assert {row.touch_id: row.person_key for row in user.touches()} == {"old": "a:a1", "new": "u:u1"}
    assert user.attributions()[0].touch_ids == ["new"]


def test_an_ordinary_event_does_not_decode_the_archive(person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    person.does("page_view", 0, page_url=AD)
    person.publish(5 * DAY)
    kept = person.state.archive
    assert kept

    def refuse(*_: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(archive, "_inflated", refuse)
    person.buys(5 * DAY, "p0")
    person.buys(4 * DAY + 1, "p1")  # a late one
    person.publish(9 * DAY)
    assert person.state.archive.startswith(kept)
    assert len(person.conversions()) == 2


def test_conversions_beyond_the_bound_are_the_users_all_the_same(pair: Pair) -> None:
    anonymous, user = pair(goals=(EVERY,))
    for number in range(limits.MAX_CONVERSIONS):
        anonymous.buys(2 * number, f"a{number:03}")
        user.buys(2 * number + 1, f"u{number:03}")
    anonymous.becomes(user)
    rows = user.conversions()
    assert {row.person_key for row in rows} == {"u:u1"}
    assert len(rows) == 2 * limits.MAX_CONVERSIONS
    assert len(user.state.conversions) == limits.MAX_CONVERSIONS
    assert user.state.conversions[-1].event_id == f"u{limits.MAX_CONVERSIONS - 1:03}"
    (session,) = user.sessions()
    assert session.conversions == 2 * limits.MAX_CONVERSIONS


def test_touches_and_ids_of_both_are_bounded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.domain.sessions.event_ids.MAX_SEEN", 30)
    anonymous, user = pair()
    for number in range(limits.MAX_TOUCHES):
        for offset, each in ((0, anonymous), (1, user)):
            event_id, properties = f"e{number}-{offset}", {"channel": f"feed{number}"}
            each.does("ad_click", number * 4 * HOUR + offset, event_id, properties=properties)
            each.publish()
    anonymous.becomes(user)
    assert len(user.state.touches) <= limits.MAX_TOUCHES
    assert (len(user.state.seen_ids), len(user.state.taken_ids)) == (30 * 8, 30 * 8)
    anonymous.does("ad_click", 100 * 4 * HOUR, f"e{limits.MAX_TOUCHES - 1}-0")
    assert [mark.mark for mark in user.effects.marks] == ["duplicate"]


def test_a_user_takes_in_many_anonymous_ids_and_remembers_the_last(make_person: MakePerson) -> None:
    user = make_person()
    journeys = []
    for number in range(stitching.MAX_MERGED + 1):
        other = make_person(user_id="", anonymous_id=f"a{number}")
        other.does("page_view", number, f"e{number:03}")
        journeys.append(other.becomes(user))
    assert len(user.state.merged) == 8 * stitching.MAX_MERGED
    (session,) = user.sessions()
    assert session.events == stitching.MAX_MERGED + 1
    user.absorbs(journeys[-1], f"a{stitching.MAX_MERGED}")
    assert user.sessions() == [session]


def test_an_event_both_have_counted_is_one_conversion(pair: Pair) -> None:
    """Sent anonymously, and again when the user was known: two persons' events, so neither was a repeat."""
    anonymous, user = pair(goals=(EVERY,))
    for each in (anonymous, user):
        each.buys(0, "p0", 10)
    anonymous.effects.clear()
    anonymous.becomes(user)
    (row,) = user.attributions()
    assert (row.person_key, row.reason, row.revision) == ("u:u1", "merge", 3)
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
    assert not stitching.note_forwarded(state, START_MS // 1000 + 3600)
    assert stitching.note_forwarded(state, START_MS // 1000 + 86_400)
    assert not is_expired(state, rules, expires_ms)
    assert is_expired(state, rules, expires_ms + 86_400_000)


def test_a_moving_journey_does_not_expire(pair: Pair) -> None:
    anonymous, _ = pair()
    anonymous.does("page_view", 0)
    stitching.link(anonymous.state, "u1", 0, "e", 0)
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
    assert old == msgspec.structs.replace(person.state, gap_ms=0, first_ms=0)
    assert (old.archive, old.links, old.merged, old.taken_ids) == (b"", None, b"", b"")
