"""A person's segments under another session gap than the one they were grouped by.

A change of an app's gap reaches a person with its next event, or the next time its sessions are written: those that are
not final yet are grouped anew, and rows of sessions that are no more are taken back. Final ones stay as they are, until
a merge or a forwarded event thaws them, which it does to those that it can change. Segments never divide: what a
smaller gap would have kept apart within one UTC day, and has been counted together, stays together.
"""

from collections.abc import Iterable

from pipeline.domain.conversions.recount import Change, View, retire, stamp, write_touches
from pipeline.domain.conversions.restatement import RestatementContext, settle_all
from pipeline.domain.sessions.archive import Span, thaw
from pipeline.domain.sessions.segments import Session, sessions_of, unite
from pipeline.domain.state import PersonState
from schemas.facts import Reason


def regroup(context: RestatementContext) -> None:
    """Group the segments by the gap of the rules, and write what that changed about touches and conversions."""
    state = context.state
    if state.gap_ms and state.segments:
        _restate(context, View(sessions_of(state.segments, state.gap_ms)))
    state.gap_ms = context.rules.gap_ms


def thaw_regrouped(context: RestatementContext, at_ms: int) -> None:
    """Turn the final sessions that an event of this time can change into segments again; they may have been grouped by
    another gap. An event that is a person's first takes the place of the one that was."""
    changes = [(at_ms, at_ms), *((first[0], first[0]) for first in context.state.firsts if first[0] >= at_ms)]
    _restate(context, thawed_view(context.state, context.rules.gap_ms, changes))
    context.state.gap_ms = context.rules.gap_ms


def thawed_view(state: PersonState, gap_ms: int, changes: Iterable[Span]) -> View:
    """Thaw what `changes` reach, and see the sessions as they have been written. `gap_ms`: that of the rules."""
    live = list(state.segments)
    archived = thaw(state, changes, max(state.gap_ms, gap_ms))
    return View(archived + sessions_of(live, state.gap_ms or gap_ms))


def _restate(context: RestatementContext, before: View) -> None:
    state, gap_ms = context.state, context.rules.gap_ms
    state.segments = unite(state.segments, [], gap_ms)
    sessions = sessions_of(state.segments, gap_ms)
    after = View(sessions)
    if after.sizes == before.sizes:
        return
    state.version += 1
    state.is_unpublished = True
    for session in sessions:
        session[0].version = state.version
    context.reason = Reason.CONFIG.value
    settle_all(context, compare(context, before, sessions, after))
    context.reason = ""


def compare(
    context: RestatementContext, before: View, sessions: list[Session], after: View, theirs: View | None = None
) -> Change:
    """Write what changed about the touches of `sessions`, and say what changed about conversions.

    `theirs`: of another person, whose sessions these are now too.
    """
    state = context.state
    stamp(state, sessions, before)
    retire(state, before, after)
    moved = theirs.touches if theirs else {}
    write_touches(context, before.touches, after.touches, moved)
    firsts = theirs.firsts | before.firsts if theirs else before.firsts
    return Change(
        sessions,
        won=[first for key, first in after.firsts.items() if key not in firsts],
        lost=[first for key, first in firsts.items() if key not in after.firsts],
    )
