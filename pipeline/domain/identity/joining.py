"""Two journeys become one person's: sessions joined, touches and conversions theirs, once-countings decided anew."""

from collections.abc import Iterator, Sequence

import msgspec

from pipeline.domain.conversions.counting import unite_firsts
from pipeline.domain.conversions.recount import View
from pipeline.domain.conversions.refunds import unite_refunds
from pipeline.domain.conversions.restatement import RestatementContext, restating, settle_all
from pipeline.domain.identity.twins import take_back_twins
from pipeline.domain.rows import session_tombstone
from pipeline.domain.sessions.archive import EVERYTHING, Span
from pipeline.domain.sessions.event_ids import Seen, shared, take
from pipeline.domain.sessions.publishing import publish_sessions, trim_touches
from pipeline.domain.sessions.regrouping import compare, thawed_view
from pipeline.domain.sessions.segments import sessions_of, unite
from pipeline.domain.state import Conversion, PersonState, raise_revisions
from pipeline.domain.touches.touch import place
from schemas.persons import ANONYMOUS


def unite_journeys(context: RestatementContext, other: PersonState, anonymous_id: str) -> None:
    """`context.state` becomes the state of a user whose own events the anonymous `other`'s have been from the start.

    The new version exceeds both, so every row written exceeds all that was written of either.
    """
    state = context.state
    state.version = other.version = max(state.version, other.version) + 1
    pairs = shared(state, other)
    theirs = thawed_view(other, context.rules.gap_ms, EVERYTHING)
    ours = thawed_view(state, context.rules.gap_ms, _changes(state, other, pairs))
    anonymous = restating(
        msgspec.structs.replace(context, state=other, person=ANONYMOUS + anonymous_id), context.reason
    )
    standing = take_back_twins(context, anonymous, ours, theirs, pairs)
    _name(other, anonymous_id)
    moved = other.conversions
    _take_back_sessions(context, anonymous_id, other, theirs)
    context.gone += _unite_facts(state, other)
    state.segments = unite(state.segments, other.segments, context.rules.gap_ms)
    state.gap_ms = context.rules.gap_ms
    sessions = sessions_of(state.segments, state.gap_ms)
    settle_all(context, compare(context, ours, sessions, View(sessions), theirs), moved + standing, other.refunds)
    trim_touches(state, context.rules)
    publish_sessions(context)


def _changes(state: PersonState, other: PersonState, pairs: Sequence[tuple[Seen, Seen]]) -> Iterator[Span]:
    """When something of the other's happened, and when something of the state's own may be taken back: an event that
    both have seen, what counted as the person's first of a goal."""
    for segment in other.segments:
        yield segment.start_ms, segment.end_ms
    goals = {goal for _, _, goal in other.firsts}
    times_ms = [at_ms for at_ms, _, goal in state.firsts if goal in goals]
    times_ms += [seen.at_ms for pair in pairs for seen in pair]
    yield from zip(times_ms, times_ms, strict=True)


def _name(other: PersonState, anonymous_id: str) -> None:
    """An anonymous person's id stands in its key alone; what it did under it must say so from now on."""
    for segment in other.segments:
        segment.anonymous = (segment.start_ms, segment.first_id, anonymous_id)
        segment.version, segment.published = other.version, 0
    for conversion in other.conversions:
        conversion.anonymous_id = anonymous_id


def _take_back_sessions(context: RestatementContext, anonymous_id: str, other: PersonState, theirs: View) -> None:
    person, revision = ANONYMOUS + anonymous_id, 2 * context.state.version
    for key in (*theirs.sizes, *(key for key in other.retired if key not in theirs.sizes)):
        context.effects.sessions.append(session_tombstone(context.app_id, person, key, revision))


def _unite_facts(state: PersonState, other: PersonState) -> list[Conversion]:
    """Unite the facts; return the conversions that the bounds have dropped."""
    state.taken_last_ms = max(state.taken_last_ms, other.last_ms, other.taken_last_ms)
    state.held_s, state.cut_ms = max(state.held_s, other.held_s), max(state.cut_ms, other.cut_ms)
    state.received_s = max(state.received_s, other.received_s)
    state.is_unpublished = True
    take(state, bytes(other.seen_ids), bytes(other.seen_times))
    unite_firsts(state, other)
    state.touches = sorted(state.touches + other.touches, key=place)
    _unite_conversions(state, other.conversions)
    return unite_refunds(state, other.refunds)


def _unite_conversions(state: PersonState, moved: list[Conversion]) -> None:
    """Unite the conversions: an event both have counted, sent again when the user was known, is one conversion."""
    known = {(found.event_id, found.goal): found for found in state.conversions}
    for conversion in moved:
        twin = known.get((conversion.event_id, conversion.goal))
        if twin is not None:
            raise_revisions(conversion, twin)
        known[conversion.event_id, conversion.goal] = conversion
    state.conversions = list(known.values())
