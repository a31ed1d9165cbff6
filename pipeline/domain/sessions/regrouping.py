"""A person's segments under another session gap than the one they were grouped by.

A change of an app's gap reaches a person with its next event, or the next time its sessions are written: those that are
not final yet are grouped anew, and rows of sessions that are no more are taken back. Final ones stay as they are, until
a merge or a forwarded event thaws them, which it does to those that it can change. Segments never divide: what a
smaller gap would have kept apart within one UTC day, and has been counted together, stays together.
"""

from collections.abc import Iterable

from pipeline.domain.conversions.recount import Change, View, retire, stamp, write_touches
from pipeline.domain.conversions.restatement import Desk, settle_all
from pipeline.domain.sessions.archive import Span, thaw
from pipeline.domain.sessions.segments import Session, sessions_of, unite
from pipeline.domain.state import PersonState
from schemas.facts import Reason


def regroup(desk: Desk) -> None:
    """Group the segments by the gap of the rules, and write what that changed about touches and conversions."""
    state = desk.state
    if state.gap_ms and state.segments:
        _restate(desk, View(sessions_of(state.segments, state.gap_ms)))
    state.gap_ms = desk.rules.gap_ms


def thaw_regrouped(desk: Desk, at_ms: int) -> None:
    """Turn the final sessions that an event of this time can change into segments again; they may have been grouped by
    another gap. An event that is a person's first takes the place of the one that was."""
    changes = [(at_ms, at_ms), *((first[0], first[0]) for first in desk.state.firsts if first[0] >= at_ms)]
    _restate(desk, thawed_view(desk.state, desk.rules.gap_ms, changes))
    desk.state.gap_ms = desk.rules.gap_ms


def thawed_view(state: PersonState, gap_ms: int, changes: Iterable[Span]) -> View:
    """Thaw what `changes` reach, and see the sessions as they have been written. `gap_ms`: that of the rules."""
    live = list(state.segments)
    archived = thaw(state, changes, max(state.gap_ms, gap_ms))
    return View(archived + sessions_of(live, state.gap_ms or gap_ms))


def _restate(desk: Desk, before: View) -> None:
    state, gap_ms = desk.state, desk.rules.gap_ms
    state.segments = unite(state.segments, [], gap_ms)
    sessions = sessions_of(state.segments, gap_ms)
    after = View(sessions)
    if after.sizes == before.sizes:
        return
    state.version += 1
    state.is_unpublished = True
    for session in sessions:
        session[0].version = state.version
    desk.reason = Reason.CONFIG.value
    settle_all(desk, compare(desk, before, sessions, after))
    desk.reason = ""


def compare(desk: Desk, before: View, sessions: list[Session], after: View, theirs: View | None = None) -> Change:
    """Write what changed about the touches of `sessions`, and say what changed about conversions.

    `theirs`: of another person, whose sessions these are now too.
    """
    state = desk.state
    stamp(state, sessions, before)
    retire(state, before, after)
    moved = theirs.touches if theirs else {}
    write_touches(desk.app_id, desk.person, before.touches, after.touches, 2 * state.version, desk.effects, moved)
    firsts = theirs.firsts | before.firsts if theirs else before.firsts
    return Change(
        sessions,
        won=[first for key, first in after.firsts.items() if key not in firsts],
        lost=[first for key, first in firsts.items() if key not in after.firsts],
    )
