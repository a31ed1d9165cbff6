"""Sessions written out, made final, and forgotten.

A session is *closed* once the watermark has passed its end by the gap, and *final* once no event that is not late can
reach it any more (see `lateness`); its touches then stay, its aggregate goes to the `archive`.
"""

from pipeline.domain.attribution.path import Paths
from pipeline.domain.attribution.path_limit import bounded
from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.expiry import close, matters_to_order
from pipeline.domain.conversions.refunds import forget_old
from pipeline.domain.conversions.restatement import (
    MAX_CLOSED_PER_WAKEUP,
    in_order,
    owes_rows,
    restating,
    write_all_owed,
)
from pipeline.domain.rows import session_row, session_tombstone
from pipeline.domain.rules import SESSION_CAP_MS, TIMER_STEP_MS, AppRules
from pipeline.domain.sessions.archive import oldest_start_ms, put_away, trim
from pipeline.domain.sessions.event_ids import KEEP_S
from pipeline.domain.sessions.lateness import final_before_ms, open_until_ms
from pipeline.domain.sessions.regrouping import regroup
from pipeline.domain.sessions.segments import (
    Session,
    chain_start_ms,
    chains_of,
    is_cut,
    session_touches,
    session_version,
    sessions_of,
)
from pipeline.domain.state import (
    CONVERSION_KEEP_MS,
    FIRSTS_KEEP_MS,
    MAX_HELD_SEGMENTS,
    MAX_HELD_TOUCHES,
    MAX_KEPT_TOUCHES,
    MAX_TOUCHES,
    Conversion,
    PersonState,
    Segment,
)
from pipeline.domain.touches.touch import VISIT, place


def publish_sessions(context: PersonContext) -> None:
    """Append the rows of sessions that changed or closed since last written, and take back those that are no more.

    A row's revision is 2 x (the person's version at the session's last change) + 1 if closed: a function of the log, so
    it does not matter how often or when this is called. Final sessions leave the state.
    """
    state, rules, watermark_ms, effects = context.state, context.rules, context.watermark_ms, context.effects
    if state.gap_ms != rules.gap_ms and state.segments:
        regroup(restating(context))
    for key in state.retired:
        effects.sessions.append(session_tombstone(context.app_id, context.person, key, 2 * state.version))
    if state.retired:
        state.retired = []
    cut_ms = _cut_before_ms(state)
    for session in sessions_of(state.segments, rules.gap_ms) if state.segments else []:
        is_cut_off = session[-1].end_ms + rules.gap_ms <= cut_ms
        is_closed = is_cut_off or watermark_ms >= _closes_at_ms(session, rules)
        revision = 2 * session_version(session) + is_closed
        if revision > session[0].published:
            session[0].published = revision
            effects.sessions.append(session_row(context, session, is_closed, revision))
    state.is_unpublished = False
    if cut_ms:
        _seal(state, rules, cut_ms)
        state.cut_ms = max(state.cut_ms, state.sealed_before_ms)
    if watermark_ms < open_until_ms(state.held_s, rules):
        return
    # What is final must be closed first, and that happens at full minutes.
    _seal(state, rules, watermark_ms - watermark_ms % TIMER_STEP_MS - rules.lateness_ms)
    if owes_rows(state):
        return  # rows come before what they are made of is forgotten
    reachable_ms = min(watermark_ms - rules.lateness_ms, final_before_ms(state, rules, watermark_ms))
    _forget(context, reachable_ms - _reach_ms(rules))


def has_unpublished(state: PersonState) -> bool:
    """True if some session changed since sessions were last written, or rows of conversions are owed. Part of the
    state, so it survives a crash."""
    return state.is_unpublished or owes_rows(state)


def is_over(state: PersonState, rules: AppRules, watermark_ms: int) -> bool:
    """True if sessions wait to be written and all of them are closed, so that waiting longer saves no row."""
    if not (state.is_unpublished and state.segments):
        return False
    return watermark_ms >= _closes_at_ms(state.segments[-1:], rules)


def next_timer_ms(state: PersonState, rules: AppRules) -> int | None:
    """The watermark at which there is something to do without a further event.

    That is `publish_sessions`, where a session closes; with none left open, the end of the state (`is_expired`). None:
    the state is empty. The answer is kept beside stored states, so a change of it is to be made known in
    `pipeline.stream.partition.wakeups`.
    """
    open_until = _open_until(state, rules)
    if open_until:
        return min(open_until)
    return _expires_at_ms(state, rules) if state.received_s else None


def is_expired(state: PersonState, rules: AppRules, watermark_ms: int) -> bool:
    """Tell whether a state has expired: ids seen, touches, conversions and refunds have all aged out, and the person's
    firsts, or whose journey it became, are past their keep.
    """
    is_due = is_due_to_expire(state, rules, watermark_ms)
    return is_due and not has_unpublished(state) and not _open_until(state, rules)


def end_in_steps(context: PersonContext) -> bool:
    """`end`; False if that is too much for one wakeup: then rows are owed, and it can end once they are written."""
    conversions = context.state.conversions
    if _is_too_much(conversions):
        for conversion in conversions:
            conversion.is_leaving = True
        return False
    end(context)
    return True


def _is_too_much(conversions: list[Conversion]) -> bool:
    return sum(map(matters_to_order, conversions)) > MAX_CLOSED_PER_WAKEUP


def end(context: PersonContext) -> None:
    """End a state that has expired: what refunds may still need of it moves to the orders."""
    write_all_owed(restating(context))
    close(context, context.state.conversions, Paths(context.state, context.rules))


def is_due_to_expire(state: PersonState, rules: AppRules, watermark_ms: int) -> bool:
    """Do so once its sessions are written."""
    if state.links is not None and not state.links.is_handed_over:
        return False
    return watermark_ms >= _expires_at_ms(state, rules)


def _open_until(state: PersonState, rules: AppRules) -> list[int]:
    """Return when the sessions close whose closing was not written yet."""
    return [
        _closes_at_ms(session, rules)
        for session in sessions_of(state.segments, rules.gap_ms)
        if session[0].published != 2 * session_version(session) + 1
    ]


def _expires_at_ms(state: PersonState, rules: AppRules) -> int:
    """Ids age by time of receipt; the watermark is never ahead of it, so waiting for the watermark is safe."""
    if state.order is not None:
        return (state.received_s + 1) * 1000 + rules.history_ms
    if state.links is not None:
        return (state.received_s + 1) * 1000 + FIRSTS_KEEP_MS
    seen_until_ms = (state.received_s + 1 + KEEP_S) * 1000
    last_ms = max(state.last_ms, state.taken_last_ms)
    if not last_ms:
        return seen_until_ms
    keep_ms = max(rules.max_window_ms, CONVERSION_KEEP_MS, rules.gap_ms, FIRSTS_KEEP_MS if state.firsts else 0)
    until_ms = max(seen_until_ms, open_until_ms(state.held_s, rules))
    return max(until_ms, last_ms + keep_ms + rules.lateness_ms + _reach_ms(rules))


def _reach_ms(rules: AppRules) -> int:
    """Return how far before itself an event changes touches: a chain that ends just within its gap may be cut by it."""
    return SESSION_CAP_MS + rules.gap_ms


def _closes_at_ms(session: Session, rules: AppRules) -> int:
    """The first full minute at or after the end plus the gap.

    Timers are to the minute. Were this exact, a session written for another reason within that minute would be closed
    and one left to its timer would not: the last rows of a log would depend on when they were written.
    """
    return -(-(session[-1].end_ms + rules.gap_ms) // TIMER_STEP_MS) * TIMER_STEP_MS


# Final sessions


def holds_too_much(state: PersonState) -> bool:
    """Tell whether more is held open than may be: then the oldest sessions are final."""
    return bool(_held_from(state))


def _held_from(state: PersonState) -> int:
    """Return how many of the oldest segments there is no room for. There is always for the newest."""
    segments = state.segments
    if len(segments) < 2:
        return 0
    first = max(0, len(segments) - MAX_HELD_SEGMENTS)
    touches = sum(map(_count_touches, segments))
    while touches > MAX_HELD_TOUCHES and first < len(segments) - 1:
        touches -= _count_touches(segments[first])
        first += 1
    return first


def _count_touches(segment: Segment) -> int:
    return len(segment.touches) + (segment.entry.touch_type == VISIT)


def _cut_before_ms(state: PersonState) -> int:
    """Return the start of the oldest segment there is room for; 0: there is for all."""
    first = _held_from(state)
    return state.segments[first].start_ms if first else 0


def _seal(state: PersonState, rules: AppRules, reachable_ms: int) -> None:
    """Segments no event at or after `reachable_ms` can join leave; their touches stay."""
    final = _count_final(state.segments, rules.gap_ms, reachable_ms)
    if final:
        sessions, count = [], 0
        for session in sessions_of(state.segments, rules.gap_ms):
            count += len(session)
            if count > final:
                break
            sessions.append(session)
        put_away(state, sessions, rules.gap_ms)
        _keep_touches(state, sessions)
        del state.segments[:final]
        _drop_settled(state)
        trim_touches(state, rules)
        state.sealed_before_ms = max(state.sealed_before_ms, reachable_ms)
    trim(state, reachable_ms)


def _count_final(segments: list[Segment], gap_ms: int, reachable_ms: int) -> int:
    """Count the leading segments that are final. A chain goes as a whole, unless it is cut into sessions of one segment
    each: then what is left of it, here or in the archive, remembers where it began.
    """
    final = 0
    for chain in chains_of(segments, gap_ms):
        is_over = chain[-1].end_ms + gap_ms <= reachable_ms
        count = len(chain) if is_over else _leading_final(chain, gap_ms, reachable_ms)
        final += count
        if count and is_cut(chain):
            for segment in chain[1:]:
                segment.chain_start_ms = chain_start_ms(chain)
        if count < len(chain):
            break
    return final


def _leading_final(chain: list[Segment], gap_ms: int, reachable_ms: int) -> int:
    return sum(segment.end_ms + gap_ms <= reachable_ms for segment in chain) if is_cut(chain) else 0


def _keep_touches(state: PersonState, sessions: list[Session]) -> None:
    """Sessions that were thawed may be older than touches that are here."""
    touches = state.touches
    newest = place(touches[-1]) if touches else None
    added = []
    for session in sessions:
        for touch in session_touches(session):
            touch.session_start_ms = session[0].start_ms
            added.append(touch)
    touches += added
    if newest is not None and added and place(added[0]) < newest:
        touches.sort(key=place)


def _drop_settled(state: PersonState) -> None:
    """Conversions that waited to count in a session that is gone now."""
    if not all(conversion.is_counted for conversion in state.conversions):
        starts_ms = [segment.start_ms for segment in state.segments[:1]]
        if state.archive:
            starts_ms.append(oldest_start_ms(state))
        open_ms = min(starts_ms, default=max(state.last_ms, state.taken_last_ms) + 1)
        state.conversions = [found for found in state.conversions if found.is_counted or found.at_ms >= open_ms]


def trim_touches(state: PersonState, rules: AppRules) -> None:
    """Beyond `MAX_TOUCHES` those stay that a path can hold, and those after the oldest conversion that can still be
    restated, by a refund say, up to `MAX_KEPT_TOUCHES` in all."""
    touches = state.touches
    if len(touches) <= MAX_TOUCHES:
        return
    settled = len(touches)
    if state.conversions:
        settled = sum(touch.at_ms <= state.conversions[0].at_ms for touch in touches)
        if len(touches) > MAX_KEPT_TOUCHES:
            settled = max(settled, len(touches) - MAX_KEPT_TOUCHES + MAX_TOUCHES)
    state.touches = [*bounded(touches[:settled], rules.window_ms), *touches[settled:]]


def _forget(context: PersonContext, reachable_ms: int) -> None:
    """Conversions and refunds past their keep, and touches in no window from `reachable_ms` on nor of a conversion that
    is kept. Only from the old end: what is newer may still take the place of others in a path (see
    `attribution.path_limit`)."""
    state, rules = context.state, context.rules
    gone = forget_old(state, reachable_ms)
    if _is_too_much(gone):
        for conversion in gone:
            conversion.is_leaving = True
        state.conversions = in_order(gone + state.conversions)
        return
    if gone:
        close(context, gone, Paths(state, rules))
    touches, conversions = state.touches, state.conversions
    needed_from_ms = min(reachable_ms, conversions[0].at_ms) if conversions else reachable_ms
    while touches and touches[0].at_ms < needed_from_ms - rules.max_window_ms:
        del touches[0]
