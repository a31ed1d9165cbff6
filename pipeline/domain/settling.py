"""The rows of conversions and their credits: written first, restated, taken back.

An event writes a conversion's row at most once, after everything it changed is known.
"""

from dataclasses import dataclass, field
from typing import Final

from pipeline.domain.closing import announce, close
from pipeline.domain.counting import counts_once
from pipeline.domain.effects import Effects
from pipeline.domain.paths import path_at
from pipeline.domain.refunds import apply_refunds, take_in
from pipeline.domain.restating import Change
from pipeline.domain.rows import attribution_row, conversion_row
from pipeline.domain.rules import AppRules
from pipeline.domain.segments import Session, session_key
from pipeline.domain.state import MAX_CONVERSIONS, Conversion, First, PersonState, Refund, Touch
from schemas.facts import Reason
from schemas.ids import digest, session_id

_INITIAL: Final = Reason.INITIAL.value
_LATE_TOUCH: Final = Reason.LATE_TOUCH.value
_REFUND: Final = Reason.REFUND.value
_CONFIG: Final = Reason.CONFIG.value

_Key = tuple[str, str]
"""(event id, goal)"""
_Occasions = dict[_Key, tuple[Conversion, str]]
"""Conversions that must be written, with the reason."""


@dataclass(slots=True)
class Desk:
    """Whose rows are written, by which rules, and where to."""

    state: PersonState
    app_id: str
    person: str
    rules: AppRules
    effects: Effects
    reason: str = ""
    """Reason of all restatements; empty: each has its own."""
    gone: list[Conversion] = field(default_factory=list)
    """Conversions the bounds have dropped from the state, to be handed to their orders."""


def settle(desk: Desk, change: Change, new: list[Conversion], refund: Refund | None) -> None:
    """Write what an event changed about conversions: its `new` ones, its `refund`, and earlier ones by its `change`."""
    state = desk.state
    occasions: _Occasions = {}
    orders: list[str] = []
    if new or change.won or change.lost:
        state.conversions = _recount(desk, change, new, occasions, orders)
        _bound(desk)
        announce(desk.effects, desk.app_id, desk.person, state.received_s, new)
    if refund is not None:
        desk.gone += take_in(state, refund)
        orders.append(refund.order_id)
    _settle_refunds(desk, orders, occasions)
    if change.from_ms is not None:
        _restate(desk, change.from_ms, change.sessions, occasions)
    _write_all(desk, change.sessions, occasions)
    _close_gone(desk)


def settle_all(desk: Desk, change: Change, moved: list[Conversion]) -> None:
    """Write what was changed about conversions, of any time, for the reason of `desk`. `moved`: those that belonged to
    another journey; they and their refunds are in the state."""
    state = desk.state
    occasions: _Occasions = {}
    orders = [refund.order_id for refund in state.refunds]
    state.conversions = _in_order(_recount(desk, change, [], occasions, orders))
    for conversion in moved:
        if conversion.is_counted:
            occasions.setdefault(_key(conversion), (conversion, desk.reason))
    _settle_refunds(desk, orders, occasions)
    _restate(desk, 0, change.sessions, occasions)
    _write_all(desk, change.sessions, occasions)
    _bound(desk)
    _close_gone(desk)


def _settle_refunds(desk: Desk, orders: list[str], occasions: _Occasions) -> None:
    if desk.state.refunds and orders:
        for conversion in apply_refunds(desk.state, orders):
            occasions.setdefault(_key(conversion), (conversion, desk.reason or _REFUND))


def _write_all(desk: Desk, sessions: list[Session], occasions: _Occasions) -> None:
    paths: dict[int, list[Touch]] = {}
    for conversion, reason in occasions.values():
        at_ms = conversion.at_ms
        if at_ms not in paths:
            paths[at_ms] = path_at(desk.state, at_ms, desk.rules)
        _write(desk, sessions, conversion, paths[at_ms], reason)


def _key(found: Conversion | First) -> _Key:
    return found.event_id, found.goal


def _recount(
    desk: Desk, change: Change, new: list[Conversion], occasions: _Occasions, orders: list[str]
) -> list[Conversion]:
    """The conversions to be known from now on, each counting or not as it does now. What has begun to count becomes an
    occasion; `orders` gets the orders of everything that did or no longer does."""
    known = {_key(found): found for found in desk.state.conversions}
    candidates = {_key(first) for session in change.sessions for segment in session for first in segment.firsts}
    for first in change.lost:
        conversion = known.get(_key(first)) or _forgotten(first, desk.state.version)
        take_back(desk, conversion)
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
            occasions[key] = (conversion, (desk.reason or _LATE_TOUCH) if conversion.attribution_revision else _INITIAL)
            orders.append(conversion.order_id)
    return list(known.values())


def _forgotten(first: First, version: int) -> Conversion:
    """Build the row in place of a conversion the bound has dropped. It has had no more revisions than the person
    versions.
    """
    return Conversion(
        first.at_ms, first.event_id, first.goal, "", "", 0, first.currency, "", attribution_revision=version
    )


def _bound(desk: Desk) -> None:
    """Keep the newest by (time, event id, goal), and of an order all or none. Those that wait to count are kept beyond
    the bound: there are no more of them than open segments and goals."""
    desk.state.conversions = ordered = _in_order(desk.state.conversions)
    excess = len(ordered) - MAX_CONVERSIONS
    if excess <= 0:
        return
    gone = {id(found) for found in ordered[:excess] if found.is_counted}
    orders = {found.order_id for found in ordered[:excess] if found.is_counted and found.order_id}
    gone |= {id(found) for found in ordered if found.is_counted and found.order_id in orders}
    desk.gone += [found for found in ordered if id(found) in gone]
    desk.state.conversions = [found for found in ordered if id(found) not in gone]


def _close_gone(desk: Desk) -> None:
    if desk.gone:
        close(desk.state, desk.app_id, desk.person, desk.rules, desk.effects, desk.gone)
        desk.gone = []


def _in_order(conversions: list[Conversion]) -> list[Conversion]:
    return sorted(conversions, key=lambda found: (found.at_ms, found.event_id, found.goal))


def _restate(desk: Desk, from_ms: int, sessions: list[Session], occasions: _Occasions) -> None:
    """Conversions whose path or session changed get new rows; credits a new revision only if the path differs."""
    for conversion in desk.state.conversions:
        if conversion.at_ms < from_ms or not conversion.is_counted or _key(conversion) in occasions:
            continue
        path = path_at(desk.state, conversion.at_ms, desk.rules)
        if _digest(path) != conversion.path_digest:
            has_new_config = conversion.config_version != desk.rules.config_version
            reason = desk.reason or (_CONFIG if has_new_config else _LATE_TOUCH)
            _write(desk, sessions, conversion, path, reason)
        elif _session_of(desk, sessions, conversion) != conversion.session_id:
            _write(desk, sessions, conversion, path, None)


def _write(desk: Desk, sessions: list[Session], conversion: Conversion, path: list[Touch], reason: str | None) -> None:
    """`reason` None: the credits stay as they are."""
    conversion.session_id = _session_of(desk, sessions, conversion)
    _raise_revision(desk, conversion)
    desk.effects.conversions.append(conversion_row(desk.app_id, desk.person, conversion, path, reason or ""))
    if reason is not None:
        conversion.path_digest = _digest(path)
        conversion.config_version = desk.rules.config_version
        conversion.attribution_revision += 1
        row = attribution_row(desk.app_id, desk.person, conversion, path, desk.rules, reason)
        desk.effects.attributions.append(row)


def _raise_revision(desk: Desk, conversion: Conversion) -> None:
    """Raise the revision, which counts the rows, wherever the conversion lives. Rows that were not counted had up to
    twice the version.
    """
    was_not_counted = conversion.attribution_revision and not conversion.row_revision
    conversion.row_revision = (2 * desk.state.version if was_not_counted else conversion.row_revision) + 1


def take_back(desk: Desk, conversion: Conversion) -> None:
    _raise_revision(desk, conversion)
    conversion.is_counted = False
    conversion.attribution_revision += 1
    conversion.path_digest = ""
    app_id, person = desk.app_id, desk.person
    gone = conversion_row(app_id, person, conversion, [], _LATE_TOUCH, is_deleted=True)
    desk.effects.conversions.append(gone)
    row = attribution_row(app_id, person, conversion, [], desk.rules, desk.reason or _LATE_TOUCH, is_deleted=True)
    desk.effects.attributions.append(row)


def _session_of(desk: Desk, sessions: list[Session], conversion: Conversion) -> str:
    """Return the id of its session; that which the conversion has, if it is in none of `sessions`."""
    at_ms = conversion.at_ms
    session = next((found for found in sessions if found[0].start_ms <= at_ms <= found[-1].end_ms), None)
    return session_id(desk.app_id, desk.person, *session_key(session)) if session else conversion.session_id


def _digest(path: list[Touch]) -> str:
    """A touch is a function of its event, so the ids say it all. Empty for an empty path."""
    return digest(*(touch.touch_id for touch in path)) if path else ""
