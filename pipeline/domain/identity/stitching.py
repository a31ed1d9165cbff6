"""An anonymous journey becomes a user's: what is decided where the anonymous id lives, and where the user does.

An anonymous id belongs to the first user it is seen with. Its state, under `a:…`, then hands the journey over and is a
stub from there on; the user's state, under `u:…`, absorbs the journey and applies what is forwarded. The result is that
of a journey that had been the user's from the start, as far as its sessions are kept (`archive`).

    where `a:…` lives     link              first user seen with the id? then its journey is moving
                          hand_over         the journey as bytes; what stays is a stub
                          note_forwarded    per event of the id from then on, which goes to its owner
    where `u:…` lives     absorb            the journey is the user's; whatever that changes is written, reason `merge`
                          apply_forwarded   like an event of the user's own

**The order must be decided before it is acted upon.** Revisions come from the version of a state, so a crash must not
lead to another order than the one whose rows are already out. Events of a partition come in the order of their log;
links, journeys and forwarded events come by another log, so what the stream owes this module is an order *between* them
that a restart keeps:

1. The changelog's marker of a group names the records of `people` that the next group applies, at its very start and
   before any event. After a restart these are still applied first.
2. After a start no further ones are named until the events are applied up to where their log ended at that time: the
   worker before may have written the rows of any of them, and they must not come after a record it did not know.
3. A journey is handed over in the group that applies its link, at once. The state then is a committed one, so what is
   sent again after a crash is the same again.

(Otherwise an event could be written as the anonymous person's, forgotten in a crash, and come out as the user's under a
revision that is not greater; or a row that is out could be one that no state knows of, and so never be taken back.)
"""

from enum import Enum
from hashlib import blake2b
from typing import Final

import msgspec

from pipeline.domain.apply import fold
from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.goals import REFUND
from pipeline.domain.conversions.refunds import refund_of, send_refund
from pipeline.domain.conversions.restatement import restating
from pipeline.domain.effects import Effects
from pipeline.domain.identity.joining import unite_journeys
from pipeline.domain.rows import mark_row, twin_mark_row, user_of
from pipeline.domain.sessions.event_ids import (
    IS_LATE,
    IS_PAGE_VIEW,
    Seen,
    fingerprint,
    first_seen,
    forget,
    pack_times,
    take,
)
from pipeline.domain.sessions.segments import PAGE_VIEW
from pipeline.domain.state import Links, PersonState, become
from schemas.events import StreamEvent
from schemas.facts import PersonLinkRow, Reason
from schemas.people import Link

MAX_LINKED_USERS: Final = 100
"""Users remembered per anonymous id; beyond it one of the later ones may be written as linked again."""
MAX_MERGED: Final = 500
"""Journeys a user remembers to have taken in."""
_MARK_BYTES: Final = 8
_DAY_S: Final = 24 * 3600


class LinkOutcome(Enum):
    NEW_OWNER = "new_owner"
    """The journey is the user's from now on: `hand_over` is due."""
    NEW_OTHER = "new_other"
    """Another user of the same device; the journey stays with its owner."""
    KNOWN = "known"


class Journey(msgspec.Struct, array_like=True, gc=False):
    """Journey that moves to its owner. Fields are only ever appended, as in `PersonState`."""

    event_id: str
    """Id of the event that linked the two. With the anonymous id it names this journey: after the stub has expired, the
    same id can begin and hand over another one.
    """
    received_s: int
    state: PersonState


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Journey).decode


# Where the anonymous id lives


def link(state: PersonState, user_id: str, at_ms: int, event_id: str, received_s: int) -> LinkOutcome:
    """The anonymous person of `state` was seen with `user_id`, by an event of time `at_ms` received at `received_s`."""
    links = state.links
    if links is None:
        state.links = Links(at_ms, event_id, received_s, [user_id])
        state.received_s = max(state.received_s, received_s)
        return LinkOutcome.NEW_OWNER
    if user_id in links.users:
        return LinkOutcome.KNOWN
    state.received_s = max(state.received_s, received_s)
    links.users.append(user_id)
    if len(links.users) > MAX_LINKED_USERS:
        del links.users[1]
    return LinkOutcome.NEW_OTHER


def apply_link(state: PersonState, record: Link, effects: Effects) -> LinkOutcome:
    """`link`, and the row of a pair that was not known."""
    at_ms, received_s = record.timestamp_ms, record.received_us // 1_000_000
    outcome = link(state, record.user_id, at_ms, record.event_id, received_s)
    if outcome is not LinkOutcome.KNOWN:
        pair, is_owner = (record.app_id, record.anonymous_id, record.user_id), outcome is LinkOutcome.NEW_OWNER
        effects.links.append(PersonLinkRow(*pair, at_ms, record.event_id, is_owner, revision=received_s))
    return outcome


def owner_of(state: PersonState) -> str:
    """The user the anonymous person is known to be; empty: none."""
    return state.links.users[0] if state.links else ""


def is_moving(state: PersonState) -> bool:
    """True if it has an owner, and its journey is still here."""
    return state.links is not None and not state.links.is_handed_over


def is_moved(state: PersonState) -> bool:
    """True if it is a stub: its events are forwarded to its owner."""
    return state.links is not None and state.links.is_handed_over


def hand_over(state: PersonState) -> bytes:
    """The journey of a state that `is_moving`; empty if there is none. Leaves a stub.

    A function of the state alone, so a second sending of the same journey is the same bytes.
    """
    links = state.links
    if links is None or links.is_handed_over:
        raise ValueError("there is no journey to hand over")
    state.links = None
    is_empty = not (state.version or state.seen_ids)
    journey = b"" if is_empty else _encode(Journey(links.event_id, links.received_s, state))
    links.is_handed_over = True
    stub = PersonState(
        received_s=state.received_s,
        links=links,
        first_ms=state.first_ms,
        last_ms=state.last_ms,
        history_s=state.history_s,
        final_ms=state.final_ms,
    )
    become(state, stub)
    return journey


def note_forwarded(state: PersonState, received_s: int) -> bool:
    """The stub was used, so it is kept from now on (to the day); returns whether the state has changed."""
    if received_s < state.received_s + _DAY_S:
        return False
    state.received_s = received_s
    return True


# Where the user lives


def absorb(context: PersonContext, journey: bytes, anonymous_id: str) -> None:
    """The journey that `hand_over` gave for `anonymous_id` is the user's; one taken in before changes nothing.

    All that follows is written, sessions too.
    """
    state = context.state
    moved = _decode(journey)
    mark = _fingerprint(anonymous_id, moved)
    if _is_merged(state, mark):
        return
    state.merged = (state.merged + mark)[-MAX_MERGED * _MARK_BYTES :]
    unite_journeys(restating(context, Reason.MERGE.value), moved.state, anonymous_id)


def _fingerprint(anonymous_id: str, journey: Journey) -> bytes:
    text = f"{anonymous_id}\x1f{journey.event_id}\x1f{journey.received_s}"
    return blake2b(text.encode(), digest_size=_MARK_BYTES).digest()


def _is_merged(state: PersonState, mark: bytes) -> bool:
    marks = state.merged
    return any(marks[at : at + _MARK_BYTES] == mark for at in range(0, len(marks), _MARK_BYTES))


def apply_forwarded(context: PersonContext, event: StreamEvent, is_late: bool) -> None:
    """Fold in an event of an anonymous id that is the user's. `is_late`: judged where it came from, and not again here.
    The context's place is where it came from, too.
    """
    state, rules, effects = context.state, context.rules, context.effects
    received_s = event.received_us // 1_000_000
    mark = fingerprint(event.event_id)
    late = is_late or event.timestamp_ms < state.cut_ms
    known = first_seen(state, mark, received_s)
    if known is not None and (late or not known.is_late):
        effects.marks.append(mark_row(event, "duplicate", known.at_ms, context.place))
        return
    if known is not None:  # the user's own sending of it came too late to count
        forget(state, {mark})
        this = Seen(mark, event.timestamp_ms, event.received_us // 1000, False, late, True)
        effects.marks.append(twin_mark_row(event.app_id, context.person, event.event_id, this, known))
    what = IS_PAGE_VIEW * (event.event_name == PAGE_VIEW) | IS_LATE * late
    take(state, mark, pack_times(event.timestamp_ms, event.received_us, what))
    state.received_s = max(state.received_s, received_s)
    if late:
        effects.marks.append(mark_row(event, "late", event.timestamp_ms, context.place))
        if event.event_name == REFUND:
            send_refund(refund_of(event, rules.currency), event, effects)
        return
    state.taken_last_ms = max(state.taken_last_ms, event.timestamp_ms)
    if event.timestamp_ms < context.watermark_ms - rules.lateness_ms:
        state.held_s = max(state.held_s, received_s)
    fold(context, msgspec.structs.replace(event, user_id=user_of(context.person)))
