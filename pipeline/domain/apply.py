"""Apply one event to its person: the entry of the domain.

    apply_event
      1. seen before?            mark `duplicate`, nothing else
      2. nobody's event?         remembered; a refund is sent to its order
      3. before what is final?   mark `late`, and the same (see `lateness`)
      4. classify                what touch it is, which goals it meets, what it refunds
      5. ordinary?               count it into the open session          (nearly every event)
         else restructure        fold it in where it belongs, compare the sessions and touches there before and after
      6. settle                  attribute new conversions; restate those whose past or value changed, as many as one
                                 event may, the rest later (`write_owed_rows`); take back those that an earlier one of
                                 their session or person replaces

Rows of touches, conversions and attributions go out here, because they follow from the log alone. Sessions change with
every event, so they are written from time to time (`publish_sessions`), and their final rows do not depend on when.
"""

from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.counting import counts_once
from pipeline.domain.conversions.goals import REFUND, conversions_of
from pipeline.domain.conversions.order_rows import write_owed_of_order
from pipeline.domain.conversions.recount import Change, restructure
from pipeline.domain.conversions.refunds import refund_of, send_refund
from pipeline.domain.conversions.restatement import owes_rows, restating, settle, write_owed
from pipeline.domain.rows import mark_row
from pipeline.domain.rules import DAY_MS, SESSION_CAP_MS, AppRules
from pipeline.domain.sessions.event_ids import (
    IS_LATE,
    IS_PAGE_VIEW,
    drop_old,
    fingerprint,
    first_seen,
    pack_times,
    remember,
)
from pipeline.domain.sessions.lateness import is_late
from pipeline.domain.sessions.publishing import (
    end,
    end_in_steps,
    has_unpublished,
    holds_too_much,
    is_due_to_expire,
    is_expired,
    is_over,
    next_timer_ms,
    publish_sessions,
)
from pipeline.domain.sessions.regrouping import regroup, thaw_regrouped
from pipeline.domain.sessions.segments import (
    MAX_PAGE_CHARACTERS,
    PAGE_VIEW,
    add_conversions,
    is_chained,
    neighbourhood,
    sessions_of,
)
from pipeline.domain.state import PersonState, Segment, Touch, become, new_state
from pipeline.domain.touches.touch import contact, is_marketing, marketing_touch, own_page, place, rank_of
from schemas.events import StreamEvent
from schemas.persons import ALONE

__all__ = [
    "apply_event",
    "end",
    "end_in_steps",
    "has_unpublished",
    "is_expired",
    "is_over",
    "next_timer_ms",
    "owes_rows",
    "publish_sessions",
    "write_owed_rows",
]


def apply_event(context: PersonContext, event: StreamEvent) -> None:
    """Fold one event into its person's state and append what it brings about to the effects.

    Raises struct.error, having changed nothing, on a time outside what fits the state, which no gateway lets through.
    """
    state, rules, watermark_ms = context.state, context.rules, context.watermark_ms
    timestamp_ms = event.timestamp_ms
    received_s = event.received_us // 1_000_000
    mark = fingerprint(event.event_id)
    is_somebodys = not context.person.startswith(ALONE)
    what = IS_PAGE_VIEW if event.event_name == PAGE_VIEW else 0
    times = pack_times(timestamp_ms, event.received_us, what)
    late = False
    # Repeats are noted too: where the journey has moved on, nobody can tell them any more (see `identity.stitching`).
    if timestamp_ms > state.last_ms > 0 and timestamp_ms >= watermark_ms - rules.lateness_ms and not state.cut_ms:
        state.last_ms = timestamp_ms  # what `is_late` would do, for nearly every event
    elif is_somebodys:
        if timestamp_ms < watermark_ms - rules.lateness_ms:
            _end_if_due(context)
        if is_late(state, timestamp_ms, received_s, rules, watermark_ms):
            late, times = True, pack_times(timestamp_ms, event.received_us, what | IS_LATE)
    known = first_seen(state, mark, received_s)
    if known is not None:
        context.effects.marks.append(mark_row(event, "duplicate", known.at_ms, context.place))
        return
    remember(state, mark, times)
    if received_s > state.received_s:
        state.received_s = received_s
    if late:
        context.effects.marks.append(mark_row(event, "late", timestamp_ms, context.place))
    elif is_somebodys:
        fold(context, event)
        return
    if event.event_name == REFUND:
        send_refund(refund_of(event, rules.currency), event, context.effects)


def write_owed_rows(context: PersonContext) -> None:
    """Some of the rows that earlier events have left owed. It must come first in a group, before any event: the state
    is then a stored one, so that it writes the same rows when it is done again after a crash."""
    if context.state.order is not None:
        write_owed_of_order(context, context.state.order)
    else:
        write_owed(restating(context))


def _end_if_due(context: PersonContext) -> None:
    """A state past its end is dropped at the next look at its timer. History must not count by when that is."""
    if context.state.version and is_due_to_expire(context.state, context.rules, context.watermark_ms):
        publish_sessions(context)
        end(context)
        become(context.state, new_state())


def fold(context: PersonContext, event: StreamEvent) -> None:
    """Steps 4 to 6, of an event that counts."""
    state, rules = context.state, context.rules
    is_thawed = False
    if event.timestamp_ms < state.sealed_before_ms and state.archive:
        is_thawed = True
        thaw_regrouped(restating(context), event.timestamp_ms)
    if state.gap_ms != rules.gap_ms:
        regroup(restating(context))
    goals = rules.goals_by_event.get(event.event_name)
    conversions = conversions_of(event, goals, rules) if goals else []
    refund = None
    if event.event_name == REFUND:
        refund = refund_of(event, rules.currency)
        send_refund(refund, event, context.effects)
    marketing = marketing_touch(event, rules.channels) if is_marketing(event) else None
    state.version += 1
    state.is_unpublished = True
    segment = None
    if not is_thawed and (not conversions or not any(map(counts_once, conversions))):
        segment = _open_segment(state, event, marketing, rules)
    if segment is not None:
        _count(segment, event, state.version)
        if not conversions and refund is None:
            return
        add_conversions(segment, conversions)
        change = Change([session for session in sessions_of(state.segments, rules.gap_ms) if segment in session])
    else:
        drop_old(state, event.received_us // 1_000_000)
        change = restructure(context, event, marketing, conversions)
        if holds_too_much(state):
            publish_sessions(context)
        if not (state.conversions or conversions or refund or change.won or change.lost):
            return
    settle(restating(context), change, conversions, refund)


def _open_segment(state: PersonState, event: StreamEvent, marketing: Touch | None, rules: AppRules) -> Segment | None:
    """The last segment, if the event only makes it longer or falls inside it: no other session, touch or first fact
    can change by it. So an event that comes seconds late takes the short way too."""
    if not state.segments:
        return None
    last = state.segments[-1]
    timestamp_ms, end_ms = event.timestamp_ms, last.end_ms
    if (
        timestamp_ms - end_ms >= rules.gap_ms
        or timestamp_ms // DAY_MS != end_ms // DAY_MS
        or (marketing is not None and not _is_known(last, marketing))
        or not _is_settled(last, event)
    ):
        return None
    if len(state.segments) > 1 and _may_pass_cap(state.segments, timestamp_ms, rules.gap_ms):
        return None
    return last


def _is_known(segment: Segment, marketing: Touch) -> bool:
    """Tell whether an earlier touch of the segment already stands for this one."""
    key = contact(marketing)
    return any(contact(touch) == key and place(touch) < place(marketing) for touch in segment.touches)


def _is_settled(segment: Segment, event: StreamEvent) -> bool:
    """Tell whether everything the segment keeps of its *first* events is there, and before this one."""
    if segment.entry_rank and rank_of(event) < segment.entry_rank:
        return False
    page, anonymous = segment.entry_page, segment.anonymous
    if page is None and own_page(event):
        return False
    if event.anonymous_id and event.user_id and anonymous is None:
        return False
    timestamp_ms = event.timestamp_ms
    if timestamp_ms > segment.end_ms:
        return True
    return (
        timestamp_ms > segment.start_ms
        and timestamp_ms > segment.entry.at_ms
        and (page is None or timestamp_ms > page[0])
        and (anonymous is None or timestamp_ms > anonymous[0])
    )


def _may_pass_cap(segments: list[Segment], timestamp_ms: int, gap_ms: int) -> bool:
    """Tell whether a chain of several segments becomes longer than a session may be: then it is cut in another way."""
    last = segments[-1]
    if not is_chained(segments[-2], last, gap_ms):
        return False
    low, _ = neighbourhood(segments, last.end_ms, gap_ms)
    start_ms = segments[low].start_ms
    return last.end_ms - start_ms <= SESSION_CAP_MS < timestamp_ms - start_ms


def _count(segment: Segment, event: StreamEvent, version: int) -> None:
    if event.timestamp_ms > segment.end_ms:
        segment.end_ms = event.timestamp_ms
    segment.events += 1
    segment.version = version
    if event.event_name == PAGE_VIEW:
        segment.page_views += 1
    if not event.is_bot:
        segment.is_bot = False
    page = own_page(event)
    if page:
        last = (event.timestamp_ms, event.event_id, page[:MAX_PAGE_CHARACTERS])
        if segment.exit_page is None or last > segment.exit_page:
            segment.exit_page = last
