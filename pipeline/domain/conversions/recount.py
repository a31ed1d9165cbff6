"""Restatements by an event that does not simply make the open session longer: sessions, touches, and what counts
once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.counting import candidates_of, displace, every_of
from pipeline.domain.rows import touch_row
from pipeline.domain.sessions.segments import (
    Session,
    add_conversions,
    insert,
    neighbourhood,
    segment_of,
    session_firsts,
    session_key,
    session_touches,
    sessions_of,
)
from pipeline.domain.state import Conversion, First, PersonState, Segment, Touch
from pipeline.domain.touches.touch import entry_of
from schemas.events import StreamEvent
from schemas.facts import TouchRow

SessionKey = tuple[int, str]
Touches: TypeAlias = dict[str, tuple[SessionKey, Touch]]
"""Touches by id, with the session."""


@dataclass(slots=True)
class Change:
    """Changes of an event to conversions, other than those it made itself."""

    sessions: list[Session]
    """Sessions of the neighbourhood of the event, as they are now."""
    from_ms: int | None = None
    """Paths and sessions of conversions from here on may be other ones; None: no touch and no session has."""
    won: Sequence[First] = ()
    """Once-counted conversions that now count."""
    lost: Sequence[First] = ()
    """Once-counted conversions that no longer count."""


class View:
    """The sessions of a neighbourhood as they stand: which there are, their touches, and what they count once."""

    __slots__ = ("firsts", "sizes", "touches")

    def __init__(self, sessions: list[Session]) -> None:
        self.sizes: dict[SessionKey, int] = {}
        self.touches: Touches = {}
        self.firsts: dict[tuple[str, str], First] = {}
        for session in sessions:
            key = session_key(session)
            self.sizes[key] = len(session)
            for touch in session_touches(session):
                self.touches[touch.touch_id] = (key, touch)
            if session[0].firsts or session[-1].firsts:
                for first in session_firsts(session):
                    self.firsts[first.event_id, first.goal] = first


def restructure(
    context: PersonContext, event: StreamEvent, marketing: Touch | None, conversions: list[Conversion]
) -> Change:
    """Fold the event in where it belongs and write what that changed about touches."""
    state, rules = context.state, context.rules
    firsts = candidates_of(state, conversions) if conversions else []
    lost = displace(state, firsts) if firsts else []
    gap_ms, segments = rules.gap_ms, state.segments
    new = segment_of(event, entry_of(event, marketing, rules.channels), marketing, state.version)
    if conversions:
        new.firsts = firsts
        add_conversions(new, every_of(conversions))
    low, high = neighbourhood(segments, event.timestamp_ms, gap_ms)
    if low == high:
        segments.insert(low, new)
        return _begun(context, new, lost)
    before = View(sessions_of(segments[low:high], gap_ms))
    high = insert(segments, low, high, new, gap_ms)
    sessions = sessions_of(segments[low:high], gap_ms)
    after = View(sessions)
    stamp(state, sessions, before)
    retire(state, before, after)
    touched_ms = write_touches(context, before.touches, after.touches)
    change = Change(sessions, min(touched_ms + moved_ms(before, after), default=None))
    if lost or before.firsts or after.firsts:
        change.won = [first for key, first in after.firsts.items() if key not in before.firsts]
        change.lost = lost + [first for key, first in before.firsts.items() if key not in after.firsts]
    return change


def _begun(context: PersonContext, new: Segment, lost: list[First]) -> Change:
    """Add an event that is a session of its own: the short way of `restructure`, which most such events take."""
    state, session = context.state, [new]
    key = session_key(session)
    if key in state.retired:
        state.retired.remove(key)
    touches = session_touches(session)
    context.effects.touches += [touch_row(context, touch, key, 2 * state.version) for touch in touches]
    return Change([session], min((touch.at_ms for touch in touches), default=None), new.firsts, lost)


def stamp(state: PersonState, sessions: list[Session], before: View) -> None:
    """A session that is new, or is made of other segments than before, changed now, whatever its segments did."""
    for session in sessions:
        head, key = session[0], session_key(session)
        if key not in before.sizes:
            head.version, head.published = state.version, 0
        elif before.sizes[key] != len(session):
            head.version = state.version


def moved_ms(before: View, after: View) -> list[int]:
    """Starts of the sessions that came or went, where some were there before: from the earliest of them on, conversions
    may be in another session."""
    return [start_ms for start_ms, _ in before.sizes.keys() ^ after.sizes.keys()] if before.sizes else []


def retire(state: PersonState, before: View, after: View) -> None:
    """Sessions that are no more are to be taken back.

    Whether they were published is not asked: after a crash between the writing of rows and of state, the state would
    not know. Only events that come before their session's first make one vanish, so this is rare.
    """
    if state.retired:
        state.retired = [key for key in state.retired if key not in after.sizes]
    state.retired += [key for key in before.sizes if key not in after.sizes]


_NONE: Final[Touches] = {}


def write_touches(context: PersonContext, before: Touches, after: Touches, moved: Touches = _NONE) -> list[int]:
    """Rows for touches that came, changed session or went; returns their times.

    `moved`: were another person's before, so their rows change in any case.
    """
    written: list[TouchRow] = []
    revision = 2 * context.state.version
    for touch_id, (key, touch) in after.items():
        if touch_id in moved or before.get(touch_id) != (key, touch):
            written.append(touch_row(context, touch, key, revision))
    for touch_id, (key, touch) in (before | moved if moved else before).items():
        if touch_id not in after:
            written.append(touch_row(context, touch, key, revision, is_deleted=True))
    context.effects.touches += written
    return [row.touched_at_ms for row in written]
