"""The rows of conversions and their credits: written first, restated, taken back.

What an event brings about for the first time is written with it. What it changes about earlier conversions is owed:
their state says so, and if it is more than a little, `write_owed` writes some of it in every later group. So an event
costs no more than its share, however many conversions it changes; what several change is written once.
"""

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Final

import msgspec

from pipeline.domain.attribution.path import Paths
from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.counting import counts_once
from pipeline.domain.conversions.expiry import announce, close
from pipeline.domain.conversions.recount import Change
from pipeline.domain.conversions.refunds import apply_refunds, take_in
from pipeline.domain.rows import NO_TOUCH, attribution_row, columns_of, conversion_row
from pipeline.domain.sessions.segments import Session, session_key
from pipeline.domain.state import (
    MAX_CONVERSIONS,
    MAX_TOUCHES,
    OWES_ALL,
    OWES_PATH,
    OWES_SESSION,
    Conversion,
    First,
    PersonState,
    Refund,
    Touch,
)
from schemas.facts import Reason
from schemas.ids import digest, session_id

_INITIAL: Final = Reason.INITIAL.value
_LATE_TOUCH: Final = Reason.LATE_TOUCH.value
_REFUND: Final = Reason.REFUND.value
_CONFIG: Final = Reason.CONFIG.value
_MERGE: Final = Reason.MERGE.value

MAX_AT_ONCE: Final = 200
"""An event writes owed rows itself if their paths can have no more touches than this together."""
MAX_PER_WAKEUP: Final = 1_000
"""Later ones are written until their paths have this many touches together, and those of one conversion at least."""
MAX_CLOSED_PER_WAKEUP: Final = 10
"""Conversions of one person that are handed to their orders at once, however many of an order leave."""
_TOUCHES_OF_ONE: Final = 5
"""Cost of a conversion beside its path, in touches."""

_place_of = attrgetter("at_ms", "event_id", "goal")
_Key = tuple[str, str]
"""(event id, goal)"""
_Span = tuple[int, int, str]
"""Start, end and id of a session; several are by time, and apart."""
_Occasions = dict[_Key, tuple[Conversion, str]]
"""Conversions that must be written, with the reason."""


class RestatementContext(PersonContext, gc=False):
    """A context with what is noted while rows of conversions are written again; made anew whenever that begins."""

    reason: str = ""
    """Reason of all restatements; empty: each has its own."""
    gone: list[Conversion] = msgspec.field(default_factory=list)
    """Conversions the bounds have dropped from the state, to be handed to their orders."""
    known_paths: Paths | None = None

    @property
    def paths(self) -> Paths:
        """The paths of its conversions, looked up once until `forget_paths`."""
        if self.known_paths is None:
            self.known_paths = Paths(self.state, self.rules)
        return self.known_paths

    def forget_paths(self) -> None:
        """The touches have changed."""
        self.known_paths = None


def restating(context: PersonContext, reason: str = "") -> RestatementContext:
    """Begin a restatement."""
    return RestatementContext(
        context.state,
        context.app_id,
        context.person,
        context.rules,
        context.watermark_ms,
        context.effects,
        context.place,
        reason,
    )


def settle(context: RestatementContext, change: Change, new: list[Conversion], refund: Refund | None) -> None:
    """Write what an event changed about conversions: its `new` ones, its `refund`, and earlier ones by its `change`."""
    state = context.state
    context.forget_paths()
    occasions: _Occasions = {}
    orders: list[str] = []
    if new or change.won or change.lost:
        state.conversions = _recount(context, change, new, occasions, orders)
        _bound(context)
        announce(context, new)
    if refund is not None:
        context.gone += take_in(state, refund)
        orders.append(refund.order_id)
    _owe_refunds(context, orders)
    if change.from_ms is not None:
        _owe_paths(context, change.from_ms, change.sessions)
    if context.gone and occasions:
        context.paths.look_up(found.at_ms for found in (*context.gone, *(each for each, _ in occasions.values())))
    _write_occasions(context, change.sessions, occasions)
    _pay_if_little(context)
    _close_gone(context)


def settle_all(
    context: RestatementContext, change: Change, moved: Sequence[Conversion] = (), refunds: Sequence[Refund] = ()
) -> None:
    """Write what was changed about conversions, of any time, for the reason of `context`.

    `moved`, `refunds`: those that belonged to another journey, or stand for one of its. They are in the state."""
    state = context.state
    context.forget_paths()
    occasions: _Occasions = {}
    orders = [found.order_id for found in moved] + [refund.order_id for refund in refunds]
    state.conversions = in_order(_recount(context, change, [], occasions, orders))
    for conversion in moved:
        _owe(conversion, OWES_ALL, context.reason)
    _owe_refunds(context, orders)
    _owe_paths(context, 0, change.sessions)
    _write_occasions(context, change.sessions, occasions)
    _pay_if_little(context)
    _bound(context)
    _close_gone(context)


def owes_rows(state: PersonState) -> bool:
    """Tell whether rows of conversions are owed, or some wait to leave. That is part of the state, so it survives a
    crash."""
    if state.order is not None:
        return any(closed.conversion.owed for closed in state.order.closed)
    return any(conversion.owed or conversion.is_leaving for conversion in state.conversions)


def write_owed(context: RestatementContext) -> None:
    """Write owed rows, the oldest conversions first, up to `MAX_PER_WAKEUP`; when there are no more, let conversions
    leave."""
    conversions = context.state.conversions
    if any(conversion.owed for conversion in conversions):
        _pay(context, conversions, MAX_PER_WAKEUP)
    else:
        _let_leave(context, MAX_CLOSED_PER_WAKEUP)
        _close_gone(context)


def _let_leave(context: RestatementContext, count: int) -> None:
    """The oldest of those that are leaving are gone."""
    leaving = [found for found in context.state.conversions if found.is_leaving][:count]
    if leaving:
        ids = set(map(id, leaving))
        context.gone += leaving
        context.state.conversions = [found for found in context.state.conversions if id(found) not in ids]


def _pay_if_little(context: RestatementContext) -> None:
    state = context.state
    owing = sum(conversion.owed > 0 for conversion in state.conversions)
    if owing:
        touches = len(state.touches) + sum(len(segment.touches) for segment in state.segments)
        if owing * (min(touches, MAX_TOUCHES) + _TOUCHES_OF_ONE) <= MAX_AT_ONCE:
            _pay(context, state.conversions)


def write_all_owed(context: RestatementContext) -> None:
    """Write all owed rows, before the state's conversions end."""
    _pay(context, context.state.conversions)


def _pay(context: RestatementContext, conversions: Sequence[Conversion], bound: int | None = None) -> None:
    owing = [found for found in conversions if found.owed]
    if not owing:
        return
    spent = 0
    for conversion, path in zip(owing, context.paths.at(found.at_ms for found in owing), strict=True):
        _write_changed(context, conversion, path)
        spent += len(path) + _TOUCHES_OF_ONE
        if bound is not None and spent >= bound:
            return


def _write_changed(context: RestatementContext, conversion: Conversion, path: list[Touch]) -> None:
    """Both rows if its path differs, that of the conversion alone if only its session does."""
    owed, reason = conversion.owed, conversion.owed_reason
    if owed == OWES_ALL or _digest(path) != conversion.path_digest:
        _write(context, conversion, path, reason)
    elif owed == OWES_SESSION:
        _write(context, conversion, path, None)
    conversion.owed, conversion.owed_reason = 0, ""


def _owe(conversion: Conversion, owed: int, reason: str) -> None:
    """Mark rows as owed. The later of two reasons that weigh the same stands; a merge stays one until it is written."""
    if conversion.is_counted and owed >= conversion.owed:
        conversion.owed, conversion.owed_reason = owed, _merge_or(conversion, reason)


def _merge_or(conversion: Conversion, reason: str) -> str:
    return _MERGE if conversion.owed_reason == _MERGE and reason != _INITIAL else reason


def _owe_refunds(context: RestatementContext, orders: list[str]) -> None:
    if context.state.refunds and orders:
        for conversion in apply_refunds(context.state, orders):
            _owe(conversion, OWES_ALL, context.reason or _REFUND)


def _owe_paths(context: RestatementContext, from_ms: int, sessions: list[Session]) -> None:
    """Conversions from here on, whose path or session may have changed."""
    spans = _spans(context, sessions)
    for conversion in context.state.conversions:
        if conversion.at_ms >= from_ms:
            has_new_config = conversion.config_version != context.rules.config_version
            is_moved = _place(spans, conversion)
            reason = context.reason or (_CONFIG if has_new_config else _LATE_TOUCH)
            _owe(conversion, OWES_SESSION if is_moved else OWES_PATH, reason)


def _write_occasions(context: RestatementContext, sessions: list[Session], occasions: _Occasions) -> None:
    if not occasions:
        return
    spans = _spans(context, sessions)
    found = in_order([conversion for conversion, _ in occasions.values()])
    for conversion, path in zip(found, context.paths.at(each.at_ms for each in found), strict=True):
        _place(spans, conversion)
        _write(context, conversion, path, _merge_or(conversion, occasions[_key(conversion)][1]))
        conversion.owed, conversion.owed_reason = 0, ""


def _key(found: Conversion | First) -> _Key:
    return found.event_id, found.goal


def _recount(
    context: RestatementContext, change: Change, new: list[Conversion], occasions: _Occasions, orders: list[str]
) -> list[Conversion]:
    """The conversions to be known from now on, each counting or not as it does now. What has begun to count becomes an
    occasion; `orders` gets the orders of everything that did or no longer does."""
    if not (change.won or change.lost or any(map(counts_once, new))):
        return _count_every(context, new, occasions, orders)
    known = {_key(found): found for found in context.state.conversions}
    candidates = {_key(first) for session in change.sessions for segment in session for first in segment.firsts}
    for first in change.lost:
        conversion = known.get(_key(first)) or _forgotten(first, context.state.version)
        take_back(context, conversion)
        orders.append(conversion.order_id)
        if _key(first) not in candidates:
            known.pop(_key(first), None)
    counting = [_key(first) for first in change.won]
    for conversion in new:
        conversion.is_counted = False
        if not counts_once(conversion):
            counting.append(_key(conversion))
        elif _key(conversion) not in candidates:
            continue
        known[_key(conversion)] = conversion
    for key in counting:
        if key in known:
            conversion = known[key]
            conversion.is_counted = True
            occasions[key] = (
                conversion,
                (context.reason or _LATE_TOUCH) if conversion.attribution_revision else _INITIAL,
            )
            orders.append(conversion.order_id)
    return list(known.values())


def _count_every(
    context: RestatementContext, new: list[Conversion], occasions: _Occasions, orders: list[str]
) -> list[Conversion]:
    """`_recount`, where all of `new` count and nothing else has changed."""
    for conversion in new:
        occasions[_key(conversion)] = (conversion, _INITIAL)
        orders.append(conversion.order_id)
    event_ids = {conversion.event_id for conversion in new}
    kept = [
        found for found in context.state.conversions if found.event_id not in event_ids or _key(found) not in occasions
    ]
    return kept + new


def _forgotten(first: First, version: int) -> Conversion:
    """Build the row in place of a conversion the bound has dropped. It has had no more revisions than the person
    versions.
    """
    return Conversion(
        first.at_ms, first.event_id, first.goal, "", "", 0, first.currency, "", attribution_revision=version
    )


def _bound(context: RestatementContext) -> None:
    """Keep the newest by (time, event id, goal), and of an order all or none: of the others one more than there are too
    many leaves at once. Those that wait to count are kept beyond the bound: there are no more of them than open
    segments and goals."""
    context.state.conversions = ordered = in_order(context.state.conversions)
    excess = len(ordered) - MAX_CONVERSIONS
    if excess <= 0:
        return
    oldest = [found for found in ordered[:excess] if found.is_counted]
    orders = {found.order_id for found in oldest if found.order_id}
    for found in (*oldest, *(found for found in ordered[excess:] if found.order_id in orders and found.is_counted)):
        found.is_leaving = True
    _let_leave(context, min(excess + 1, MAX_CLOSED_PER_WAKEUP))


def _close_gone(context: RestatementContext) -> None:
    if context.gone:
        gone = in_order(context.gone)
        for conversion in gone:
            conversion.is_leaving = False
        _pay(context, gone)
        close(context, gone, context.paths)
        context.gone = []


def in_order(conversions: list[Conversion]) -> list[Conversion]:
    return sorted(conversions, key=_place_of)


def _write(context: RestatementContext, conversion: Conversion, path: list[Touch], reason: str | None) -> None:
    """`reason` None: the credits stay as they are."""
    _raise_revision(context, conversion)
    columns = columns_of(path)
    context.effects.conversions.append(conversion_row(context, conversion, columns, reason or ""))
    if reason is not None:
        conversion.path_digest = _digest(path)
        conversion.config_version = context.rules.config_version
        conversion.attribution_revision += 1
        row = attribution_row(context, conversion, columns, reason)
        context.effects.attributions.append(row)


def _raise_revision(context: RestatementContext, conversion: Conversion) -> None:
    """Raise the revision, which counts the rows, wherever the conversion lives. Rows that were not counted had up to
    twice the version.
    """
    was_not_counted = conversion.attribution_revision and not conversion.row_revision
    conversion.row_revision = (2 * context.state.version if was_not_counted else conversion.row_revision) + 1


def take_back(context: RestatementContext, conversion: Conversion) -> None:
    _raise_revision(context, conversion)
    reason = _merge_or(conversion, context.reason or _LATE_TOUCH)
    conversion.is_counted, conversion.owed, conversion.owed_reason = False, 0, ""
    conversion.attribution_revision += 1
    conversion.path_digest = ""
    gone = conversion_row(context, conversion, NO_TOUCH, _LATE_TOUCH, is_deleted=True)
    context.effects.conversions.append(gone)
    row = attribution_row(context, conversion, NO_TOUCH, reason, is_deleted=True)
    context.effects.attributions.append(row)


def _spans(context: RestatementContext, sessions: list[Session]) -> list[_Span]:
    return [
        (found[0].start_ms, found[-1].end_ms, session_id(context.app_id, context.person, *session_key(found)))
        for found in sessions
    ]


def _place(spans: list[_Span], conversion: Conversion) -> bool:
    """Put it into its session, or leave it in that which it has if none of `spans` has it; return whether it moved."""
    before = conversion.session_id
    at = bisect_right(spans, conversion.at_ms, key=itemgetter(0)) - 1
    if at >= 0 and conversion.at_ms <= spans[at][1]:
        conversion.session_id = spans[at][2]
    return conversion.session_id != before


def _digest(path: list[Touch]) -> str:
    """A touch is a function of its event, so the ids say it all. Empty for an empty path."""
    return digest(*(touch.touch_id for touch in path)) if path else ""
