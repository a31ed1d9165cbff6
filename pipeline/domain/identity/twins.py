"""Twins: one event sent under two ids, found when the two turn out to be one person; the later receipt is taken
back.

Before a login an event carries the anonymous id, and sent again after it the user's too: the two go to two persons, and
each has counted it. When the journeys are united, the ids that both have seen are compared (`event_ids.shared`). Of
each pair the one received first stays. The other one leaves

    its session       a number of events less; no session where it was the only event
    its conversions   with their credits; those of the one that stays get a revision that is greater
    its touch, its refund, what it was counted as once

A segment is an aggregate, so of some facts nobody knows what they would be without the event. Where both have the same
time (it was sent with a `timestamp`), or fall into one session, the first one's facts stand in their place, and the
result is that of one event, but for the last page of the session. Else the session of the later one still begins with
it.

The text of an id is not kept, only its hash. It is known of events that are a touch, a conversion, a refund, or the
first, the entry or a page of their session. The mark `duplicate` of any other names the hash: that is enough to tell
that one row of `events` stands for two, where both have the same time. Where not, both rows stay, without a mark.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.domain.conversions.counting import counts_once
from pipeline.domain.conversions.recount import View
from pipeline.domain.conversions.restatement import RestatementContext, take_back
from pipeline.domain.rows import touch_row, twin_mark_row
from pipeline.domain.sessions.event_ids import Seen, counted_times_ms, fingerprint, forget
from pipeline.domain.sessions.segments import take_out
from pipeline.domain.state import Conversion, PersonState, Segment, raise_revisions

_NO_ENTRY_RANK: Final = 3


@dataclass(slots=True)
class _Side:
    """One of the two journeys, with its sessions as they have been written."""

    context: RestatementContext
    view: View
    times_ms: list[int]
    """Times of the events it counts, ascending."""


def take_back_twins(
    context: RestatementContext,
    their_context: RestatementContext,
    ours: View,
    theirs: View,
    pairs: Sequence[tuple[Seen, Seen]],
) -> list[Conversion]:
    """Take events that both journeys have seen (`pairs`: ours, theirs) out of one of them; returns the conversions that
    stand.

    Versions of both states must exceed all that was written of either.
    """
    if not pairs:
        return []
    other = their_context.state
    names = {fingerprint(name): name for state in (context.state, other) for name in _names(state)}
    our_side = _Side(context, ours, counted_times_ms(context.state))
    their_side = _Side(their_context, theirs, counted_times_ms(other))
    standing: list[Conversion] = []
    gone: dict[int, set[bytes]] = {id(our_side): set(), id(their_side): set()}
    for our, their in pairs:
        first, later = (their, our) if their.received_ms <= our.received_ms else (our, their)
        side, stays = (our_side, their_side) if later is our else (their_side, our_side)
        standing += _take_back(side, stays.context.state, first, later, names.get(our.mark, ""))
        gone[id(side)].add(our.mark)
    for side in (our_side, their_side):
        forget(side.context.state, gone[id(side)])
    context.state.version += 1
    other.version = context.state.version
    return standing


def _take_back(side: _Side, stays: PersonState, first: Seen, later: Seen, name: str) -> list[Conversion]:
    state = side.context.state
    conversions = [found for found in state.conversions if name and found.event_id == name]
    if not later.is_late:
        _uncount(side, later, name, conversions)
    if name or first.at_ms == later.at_ms:
        person = "" if later.is_taken else side.context.person
        side.context.effects.marks.append(twin_mark_row(side.context.app_id, person, name, first, later))
    if not name:
        return []
    state.conversions = [found for found in state.conversions if found.event_id != name]
    state.firsts = [found for found in state.firsts if found[1] != name]
    state.refunds = [found for found in state.refunds if found.event_id != name]
    _take_back_touch(side, first, later, name)
    standing = {found.goal: found for found in stays.conversions if found.event_id == name}
    return _take_back_conversions(side, conversions, standing)


def _take_back_conversions(
    side: _Side, conversions: list[Conversion], standing: dict[str, Conversion]
) -> list[Conversion]:
    """Both have written their rows under one id: the one that stands is written again, with greater revisions."""
    found = []
    for conversion in conversions:
        side.view.firsts.pop((conversion.event_id, conversion.goal), None)
        twin = standing.get(conversion.goal)
        if twin is not None:
            raise_revisions(conversion, twin)
            found.append(twin)
        if conversion.attribution_revision:
            take_back(side.context, conversion)
        if twin is not None:
            raise_revisions(twin, conversion)
    written = {conversion.goal for conversion in conversions}
    for goal, twin in standing.items():
        if goal not in written:
            _rise_above_forgotten(twin, side.context.state.version)
    return found


def _rise_above_forgotten(twin: Conversion, version: int) -> None:
    """A conversion that no longer counted may be forgotten, but its rows are out: under revisions up to these."""
    twin.row_revision = max(twin.row_revision, 2 * version)
    twin.attribution_revision = max(twin.attribution_revision, version)


def _take_back_touch(side: _Side, first: Seen, later: Seen, name: str) -> None:
    """Rows of one id and time replace each other; of another time it has to be deleted."""
    state = side.context.state
    state.touches = [touch for touch in state.touches if touch.touch_id != name]
    found = side.view.touches.get(name)
    if found is not None and first.at_ms != later.at_ms:
        del side.view.touches[name]
        key, touch = found
        row = touch_row(side.context, touch, key, 2 * state.version, is_deleted=True)
        side.context.effects.touches.append(row)


def _uncount(side: _Side, seen: Seen, name: str, conversions: list[Conversion]) -> None:
    segments = side.context.state.segments
    segment = next((found for found in segments if found.start_ms <= seen.at_ms <= found.end_ms), None)
    if segment is None:
        return
    place = bisect_left(side.times_ms, seen.at_ms)
    if side.times_ms[place : place + 1] == [seen.at_ms]:
        del side.times_ms[place]
    segment.version = side.context.state.version
    take_out(segment, seen.is_page_view, [found for found in conversions if not counts_once(found)])
    if not segment.events:
        segments[:] = [found for found in segments if found is not segment]
        return
    segment.firsts = [found for found in segment.firsts if found.event_id != name]
    segment.touches = [found for found in segment.touches if found.touch_id != name]
    if segment.entry.touch_id == name:
        segment.entry_rank = _NO_ENTRY_RANK
    if seen.at_ms == segment.end_ms and place and side.times_ms[place : place + 1] != [seen.at_ms]:
        segment.end_ms = max(segment.start_ms, side.times_ms[place - 1])


def _names(state: PersonState) -> Iterator[str]:
    """Return every event id whose text the state has."""
    for conversion in state.conversions:
        yield conversion.event_id
    for refund in state.refunds:
        yield refund.event_id
    for touch in state.touches:
        yield touch.touch_id
    for segment in state.segments:
        yield from _names_in(segment)


def _names_in(segment: Segment) -> Iterable[str]:
    yield segment.first_id
    yield segment.entry.touch_id
    for keyed in (segment.entry_page, segment.exit_page, segment.anonymous):
        if keyed is not None:
            yield keyed[1]
    for touch in segment.touches:
        yield touch.touch_id
    for first in segment.firsts:
        yield first.event_id
