"""Refunds: value taken back from the conversions of an order, whichever of the two is heard of first.

An event `refund` with an `order_id` takes back all of the order's value, or as much as it names. What it takes from
which conversion is computed anew from all refunds and conversions of the order, so their order of arrival does not
matter. Per goal (one event may meet several, and each counts the order's value) and currency: refunds by time, each
from the conversions by time, as long as there is something left; the rest is noted as the last one's excess.
"""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Final

from pipeline.domain.goals import order_id_of
from pipeline.domain.properties import read_properties
from pipeline.domain.state import (
    CONVERSION_KEEP_MS,
    MAX_REFUNDS,
    MAX_SUM_MINOR,
    REFUND_LEAD_MS,
    Conversion,
    PersonState,
    Refund,
)
from schemas.amounts import Money, read_money
from schemas.events import StreamEvent
from schemas.money import to_minor

VALUE_PROPERTIES: Final = ("value", "amount", "revenue", "price")
"""The first of these that is given says how much; none: everything."""
_NOTHING: Final = "0"


def refund_of(event: StreamEvent, own_currency: str) -> Refund | None:
    """None without an `order_id`: nobody can tell what to take back. `own_currency`: of the app."""
    properties = read_properties(event.properties)
    order_id = order_id_of(properties)
    if not order_id:
        return None
    money = read_money(properties, VALUE_PROPERTIES, own_currency)
    return Refund(event.timestamp_ms, event.event_id, order_id, _amount(money), money.currency)


def _amount(money: Money) -> str:
    """The sign does not matter: some systems write what goes back as negative. An amount that cannot be read, or is of
    a currency that cannot, takes nothing: taken for a missing one, it would take everything. Everything is that in any
    currency."""
    is_given = money.amount or any(problem.field in VALUE_PROPERTIES for problem in money.problems)
    if not is_given:
        return ""
    if money.problems or to_minor(money.amount, "") is None:
        return _NOTHING
    return money.amount.removeprefix("-")


def take_in(state: PersonState, refund: Refund) -> None:
    """Beyond the bound the order of the oldest refund is forgotten as a whole; its rows stay as they are."""
    unite_refunds(state, [refund])


def unite_refunds(state: PersonState, others: list[Refund]) -> None:
    state.refunds = sorted([*state.refunds, *others], key=_refund_place)
    while len(state.refunds) > MAX_REFUNDS:
        gone = state.refunds[0].order_id
        state.refunds = [kept for kept in state.refunds if kept.order_id != gone]
        state.conversions = [kept for kept in state.conversions if kept.order_id != gone]


def apply_refunds(state: PersonState, order_ids: Iterable[str]) -> list[Conversion]:
    """Bring the conversions of these orders up to date with their refunds; returns those that changed."""
    changed = []
    for order_id in dict.fromkeys(order_ids):
        refunds = [refund for refund in state.refunds if refund.order_id == order_id] if order_id else []
        if refunds:
            found = [c for c in state.conversions if c.order_id == order_id and c.is_counted and c.value_minor]
            changed += _allocate(found, refunds)
    return changed


def _allocate(conversions: list[Conversion], refunds: list[Refund]) -> list[Conversion]:
    changed = []
    key: Callable[[Conversion], tuple[str, str]] = lambda found: (found.goal, found.currency)  # noqa: E731
    for _, group in groupby(sorted(conversions, key=key), key):  # a stable sort: by time within each group
        members = list(group)
        before = [(member.refunded_minor, member.refund_excess_minor) for member in members]
        for member in members:
            member.refunded_minor = member.refund_excess_minor = 0
        for refund in refunds:
            _take(refund, members)
        changed += [
            member
            for member, was in zip(members, before, strict=True)
            if (member.refunded_minor, member.refund_excess_minor) != was
        ]
    return changed


def _take(refund: Refund, conversions: list[Conversion]) -> None:
    reached = [found for found in conversions if _reaches(refund, found)]
    if not reached:
        return
    if not refund.amount:
        for found in reached:
            found.refunded_minor = found.value_minor
        return
    left = to_minor(refund.amount, reached[0].currency) or 0
    for found in reached:
        taken = min(left, found.value_minor - found.refunded_minor)
        found.refunded_minor += taken
        left -= taken
    last = reached[-1]
    last.refund_excess_minor = min(last.refund_excess_minor + left, MAX_SUM_MINOR)


def _reaches(refund: Refund, conversion: Conversion) -> bool:
    """A rule of event time alone, so that it does not matter when old conversions are forgotten."""
    age_ms = refund.at_ms - conversion.at_ms
    return -REFUND_LEAD_MS <= age_ms <= CONVERSION_KEEP_MS and refund.currency in ("", conversion.currency)


def forget_old(state: PersonState, reachable_ms: int) -> None:
    """Drop conversions and refunds that nothing at or after `reachable_ms` can change.

    An order with refunds goes as a whole, once its newest part is old: what is left of it must add up as before.
    """
    limit_ms = reachable_ms - CONVERSION_KEEP_MS
    if not state.refunds:
        conversions = state.conversions
        while conversions and conversions[0].at_ms < limit_ms:
            del conversions[0]
        return
    newest_ms: dict[str, int] = {refund.order_id: refund.at_ms for refund in state.refunds}
    for conversion in state.conversions:
        if conversion.order_id in newest_ms:
            newest_ms[conversion.order_id] = max(newest_ms[conversion.order_id], conversion.at_ms)
    kept = {order_id for order_id, at_ms in newest_ms.items() if at_ms >= limit_ms - REFUND_LEAD_MS}
    state.refunds = [refund for refund in state.refunds if refund.order_id in kept]
    state.conversions = [c for c in state.conversions if c.at_ms >= limit_ms or c.order_id in kept]


def _refund_place(refund: Refund) -> tuple[int, str]:
    return refund.at_ms, refund.event_id
