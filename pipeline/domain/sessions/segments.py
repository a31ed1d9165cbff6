"""Sessions from events in any order.

A *chain* is a run of a person's events with gaps under the session gap. A chain of at most 24 hours is one session; a
longer one (a bot, a kiosk, a page left open) is cut at every UTC midnight inside it.

The usual cut, 24 hours after the first event and again from there, needs every event in hand: one late event near the
start moves all cuts after it. Cut at midnights, the state can keep *segments* instead of events: the events of one
chain within one UTC day as an aggregate. Segments merge in any order to the same result, and a session is one segment,
or two that meet across midnight in a chain of at most 24 hours. Nothing ever has to be taken out of an aggregate.
"""

from bisect import bisect_left
from typing import TypeAlias

import msgspec

from pipeline.domain.rules import DAY_MS, SESSION_CAP_MS
from pipeline.domain.state import MAX_SUM_MINOR, MAX_TOUCHES, Conversion, First, Keyed, Segment, Touch
from pipeline.domain.touches.touch import EXPOSURE_RANK, VISIT, first_of_each, own_page, place
from schemas.events import StreamEvent

Session: TypeAlias = list[Segment]
"""Session of one or two segments. The first one's start and first event name the session."""

PAGE_VIEW = "page_view"
MAX_PAGE_CHARACTERS = 1_024


# Segments


def segment_of(event: StreamEvent, entry: tuple[int, Touch], marketing: Touch | None, version: int) -> Segment:
    """The segment of one event."""
    at_ms, event_id, page = event.timestamp_ms, event.event_id, own_page(event)[:MAX_PAGE_CHARACTERS]
    keyed_page = (at_ms, event_id, page) if page else None
    return Segment(
        at_ms,
        event_id,
        at_ms,
        entry[1],
        entry[0],
        version,
        page_views=int(event.event_name == PAGE_VIEW),
        entry_page=keyed_page,
        exit_page=keyed_page,
        anonymous=(at_ms, event_id, event.anonymous_id) if event.user_id and event.anonymous_id else None,
        touches=[marketing] if marketing is not None else [],
        is_bot=event.is_bot,
    )


def add_conversions(segment: Segment, conversions: list[Conversion]) -> None:
    """Add conversions of goals that count every time."""
    segment.conversions += len(conversions)
    for conversion in conversions:
        _add_value(segment.values_minor, conversion.currency, conversion.value_minor)


def take_out(segment: Segment, is_page_view: bool, conversions: list[Conversion]) -> None:
    """Remove one event. `conversions`: its own, of goals that count every time."""
    segment.events -= 1
    segment.page_views -= is_page_view
    segment.conversions -= len(conversions)
    for conversion in conversions:
        left = segment.values_minor.get(conversion.currency, 0) - conversion.value_minor
        segment.values_minor[conversion.currency] = max(left, 0)
    segment.values_minor = {currency: value for currency, value in segment.values_minor.items() if value}


def absorb(kept: Segment, other: Segment) -> None:
    """`kept` becomes the segment of both's events. Commutative and associative in all that rows show."""
    if (other.start_ms, other.first_id) < (kept.start_ms, kept.first_id):
        kept.start_ms, kept.first_id = other.start_ms, other.first_id
        kept.published = other.published
    if (other.entry_rank, *place(other.entry)) < (kept.entry_rank, *place(kept.entry)):
        kept.entry_rank, kept.entry = other.entry_rank, other.entry
    kept.end_ms = max(kept.end_ms, other.end_ms)
    kept.version = max(kept.version, other.version)
    kept.events += other.events
    kept.page_views += other.page_views
    kept.is_bot = kept.is_bot and other.is_bot
    kept.conversions += other.conversions
    for currency, value_minor in other.values_minor.items():
        _add_value(kept.values_minor, currency, value_minor)
    kept.entry_page = _first(kept.entry_page, other.entry_page)
    kept.exit_page = _last(kept.exit_page, other.exit_page)
    kept.anonymous = _first(kept.anonymous, other.anonymous)
    kept.chain_start_ms = _earlier(kept.chain_start_ms, other.chain_start_ms)
    if other.touches:
        # The *first* campaigns are kept: what was left out once was later than all kept, and stays so.
        kept.touches = first_of_each(kept.touches + other.touches)[:MAX_TOUCHES]
    if other.firsts:
        kept.firsts = _earliest(kept.firsts + other.firsts)


def _earlier(one_ms: int, other_ms: int) -> int:
    """0 says nothing."""
    return min(one_ms, other_ms) if one_ms and other_ms else one_ms or other_ms


def _earliest(firsts: list[First]) -> list[First]:
    """Return the earliest conversion of each goal and kind of counting."""
    found: dict[tuple[str, bool], First] = {}
    for first in sorted(firsts, key=lambda first: (first.at_ms, first.event_id)):
        found.setdefault((first.goal, first.is_of_person), first)
    return list(found.values())


def _add_value(sums: dict[str, int], currency: str, value_minor: int) -> None:
    """Values are never negative, so the ceiling does not depend on their order."""
    if value_minor:
        sums[currency] = min(sums.get(currency, 0) + value_minor, MAX_SUM_MINOR)


def _first(one: Keyed | None, other: Keyed | None) -> Keyed | None:
    return min(one, other) if one and other else one or other


def _last(one: Keyed | None, other: Keyed | None) -> Keyed | None:
    return max(one, other) if one and other else one or other


def insert(segments: list[Segment], low: int, high: int, new: Segment, gap_ms: int) -> int:
    """Fold `new` into the neighbourhood [low, high); returns where it ends now."""
    day = new.start_ms // DAY_MS
    joined, apart = new, []
    for segment in segments[low:high]:
        if segment.start_ms // DAY_MS == day and _is_near(segment, new.start_ms, gap_ms):
            absorb(segment, joined)
            joined = segment
        else:
            apart.append(segment)
    segments[low:high] = sorted([*apart, joined], key=lambda segment: segment.start_ms)
    return low + len(apart) + 1


def unite(ours: list[Segment], theirs: list[Segment], gap_ms: int) -> list[Segment]:
    """The segments of one person who did what two lists of segments say."""
    united: list[Segment] = []
    for segment in sorted(ours + theirs, key=lambda segment: segment.start_ms):
        last = united[-1] if united else None
        if last and segment.start_ms // DAY_MS == last.start_ms // DAY_MS and is_chained(last, segment, gap_ms):
            absorb(last, segment)
        else:
            united.append(segment)
    for chain in chains_of(united, gap_ms):
        for segment in chain[1:]:
            chain[0].chain_start_ms = _earlier(chain[0].chain_start_ms, segment.chain_start_ms)
    return united


def _is_near(segment: Segment, at_ms: int, gap_ms: int) -> bool:
    return segment.start_ms - gap_ms < at_ms < segment.end_ms + gap_ms


def neighbourhood(segments: list[Segment], at_ms: int, gap_ms: int) -> tuple[int, int]:
    """[low, high): all segments of the chains an event at `at_ms` belongs to; empty, at its place, if to none."""
    high = len(segments)
    while high and segments[high - 1].start_ms - gap_ms >= at_ms:
        high -= 1
    low = high
    while low and segments[low - 1].end_ms + gap_ms > at_ms:
        low -= 1
    if low == high:
        return low, high
    while low and is_chained(segments[low - 1], segments[low], gap_ms):
        low -= 1
    while high < len(segments) and is_chained(segments[high - 1], segments[high], gap_ms):
        high += 1
    return low, high


# Sessions


def is_chained(one: Segment, following: Segment, gap_ms: int) -> bool:
    return following.start_ms - one.end_ms < gap_ms


def chains_of(segments: list[Segment], gap_ms: int) -> list[list[Segment]]:
    chains: list[list[Segment]] = []
    for segment in segments:
        if chains and is_chained(chains[-1][-1], segment, gap_ms):
            chains[-1].append(segment)
        else:
            chains.append([segment])
    return chains


def is_cut(chain: list[Segment]) -> bool:
    return chain[-1].end_ms - chain_start_ms(chain) > SESSION_CAP_MS


def chain_start_ms(chain: list[Segment]) -> int:
    """Return where the chain began, what is gone of it included."""
    head = chain[0]
    return min(head.chain_start_ms, head.start_ms) if head.chain_start_ms else head.start_ms


def sessions_of(segments: list[Segment], gap_ms: int) -> list[Session]:
    if len(segments) == 1:
        return [segments]
    sessions: list[Session] = []
    for chain in chains_of(segments, gap_ms):
        sessions += [[segment] for segment in chain] if is_cut(chain) else [chain]
    return sessions


def session_key(session: Session) -> tuple[int, str]:
    """(start, first event id): names the session inside its person."""
    return session[0].start_ms, session[0].first_id


def session_version(session: Session) -> int:
    return max(segment.version for segment in session)


def session_entry(session: Session) -> tuple[int, Touch]:
    best = session[0]
    if len(session) > 1:
        best = min(session, key=lambda segment: (segment.entry_rank, *place(segment.entry)))
    return best.entry_rank, best.entry


def session_firsts(session: Session) -> list[First]:
    """The conversions of the session that are counted once: of a session's goal the earliest of its segments; of a
    person's goal a segment holds none but the person's first."""
    if len(session) == 1:
        return session[0].firsts
    return _earliest([first for segment in session for first in segment.firsts])


def whole(session: Session) -> Segment:
    """The session as one segment, not to be changed."""
    head = session[0]
    if len(session) == 1:
        return head
    united = msgspec.structs.replace(head, values_minor=dict(head.values_minor))
    for segment in session[1:]:
        absorb(united, segment)
    return united


def values_of(segment: Segment) -> dict[str, int]:
    """Per currency, with what counts once."""
    sums = dict(segment.values_minor)
    for first in segment.firsts:
        _add_value(sums, first.currency, first.value_minor)
    return dict(sorted(sums.items())) if len(sums) > 1 else sums


def session_touches(session: Session) -> list[Touch]:
    """The session's touch rows, by place."""
    rank, entry = session_entry(session)
    is_visit = entry.touch_type == VISIT and rank < EXPOSURE_RANK
    if len(session) > 1:
        touches = [touch for segment in session for touch in segment.touches]
        return first_of_each([*touches, entry] if is_visit else touches)
    touches = session[0].touches  # the first of each by place, and no visit
    if not is_visit:
        return touches
    at = bisect_left(touches, place(entry), key=place)
    return [*touches[:at], entry, *touches[at:]]
