"""Refunds: value taken back from the conversions of an order, whichever of the two is heard of first.

An event `refund` with an `order_id` takes back all of the order's value, or as much as it names. What it takes from
which conversion is computed anew from all refunds and conversions of the order, so their order of arrival does not
matter. Per goal (one event may meet several, and each counts the order's value) and currency: refunds by time, each
from the conversions by time, as long as there is something left; the rest is noted as the last one's excess.

A refund of a person's own order is applied at once. Whoever it comes from, it also goes to the order, which knows who
else has conversions of it (see `orders`).
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final

from pipeline.domain.conversions.goals import order_id_of
from pipeline.domain.effects import Effects
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
from schemas.people import OrderRefund

VALUE_PROPERTIES: Final = ("value", "amount", "revenue", "price")
"""The first of these that is given says how much; none: everything."""
NOTHING: Final = "0"
"""The amount of a refund whose own cannot be read."""


def refund_of(event: StreamEvent, own_currency: str) -> Refund | None:
    """Return the refund of an event; None without an `order_id`: it is unknown what to take back. `own_currency`: of
    the app.
    """
    properties = read_properties(event.properties)
    order_id = order_id_of(properties)
    if not order_id:
        return None
    money = read_money(properties, VALUE_PROPERTIES, own_currency)
    return Refund(event.timestamp_ms, event.event_id, order_id, _amount(money), money.currency)


def send_refund(refund: Refund | None, event: StreamEvent, effects: Effects) -> None:
    """Send a refund to its order, when it is accepted for the first time. One that is late for its person is not for
    the order.
    """
    if refund is not None:
        effects.messages.append(order_message(event.app_id, refund, event.received_us // 1_000_000))


def order_message(app_id: str, refund: Refund, received_s: int, person: str = "") -> OrderRefund:
    """`person`: who is to take it back; empty: it is for the order."""
    return OrderRefund(
        app_id, refund.order_id, refund.event_id, refund.at_ms, refund.amount, refund.currency, received_s, person
    )


def _amount(money: Money) -> str:
    """The sign does not matter: some systems write what goes back as negative. An amount that cannot be read, or is of
    a currency that cannot, takes nothing: taken for a missing one, it would take everything. Everything is that in any
    currency."""
    is_given = money.amount or any(problem.field in VALUE_PROPERTIES for problem in money.problems)
    if not is_given:
        return ""
    if money.problems or to_minor(money.amount, "") is None:
        return NOTHING
    return money.amount.removeprefix("-")


def take_in(state: PersonState, refund: Refund) -> list[Conversion]:
    """Beyond the bound the order of the oldest refund is forgotten as a whole; returns its conversions."""
    return unite_refunds(state, [refund])


def unite_refunds(state: PersonState, others: list[Refund]) -> list[Conversion]:
    """Unite many refunds, like `take_in`. One that is there already is one."""
    state.refunds = united(state.refunds, others)
    gone: list[Conversion] = []
    while len(state.refunds) > MAX_REFUNDS:
        order_id = state.refunds[0].order_id
        state.refunds = [kept for kept in state.refunds if kept.order_id != order_id]
        gone += [found for found in state.conversions if found.order_id == order_id]
        state.conversions = [kept for kept in state.conversions if kept.order_id != order_id]
    return gone


def united(ours: list[Refund], others: list[Refund]) -> list[Refund]:
    """Return the refunds by (time, event id), each once."""
    known = {refund.event_id: refund for refund in [*others, *ours]}
    return sorted(known.values(), key=_refund_place)


def apply_refunds(state: PersonState, order_ids: Iterable[str]) -> list[Conversion]:
    """Bring the conversions of these orders up to date with their refunds; returns those that changed."""
    wanted = set(order_ids) - {""}
    refunds: dict[str, list[Refund]] = {}
    for refund in state.refunds:
        if refund.order_id in wanted:
            refunds.setdefault(refund.order_id, []).append(refund)
    conversions: dict[str, list[Conversion]] = {order_id: [] for order_id in refunds}
    for found in state.conversions:
        if found.order_id in conversions and found.is_counted and found.value_minor:
            conversions[found.order_id].append(found)
    return [found for order_id, given in refunds.items() for found in allocate(conversions[order_id], given)]


def allocate(
    conversions: list[Conversion], refunds: list[Refund], elsewhere_ms: Sequence[int] = ()
) -> list[Conversion]:
    """Take all refunds of an order from its conversions, by time; returns those that changed by it.

    `elsewhere_ms`: times of conversions of the same order and person that are kept in another place.
    """
    times_ms = {found.at_ms for found in conversions}
    anchors = [(refund, anchor_ms(refund, [*times_ms, *elsewhere_ms])) for refund in refunds]
    reaching = [(refund, anchor) for refund, anchor in anchors if anchor in times_ms]
    changed = []
    key: Callable[[Conversion], tuple[str, str]] = lambda found: (found.goal, found.currency)  # noqa: E731
    for _, group in groupby(sorted(conversions, key=key), key):  # a stable sort: by time within each group
        members = list(group)
        before = [(member.refunded_minor, member.refund_excess_minor) for member in members]
        for member in members:
            member.refunded_minor = member.refund_excess_minor = 0
        for refund, anchor in reaching:
            _take(refund, [member for member in members if reaches(anchor, member.at_ms)])
        changed += [
            member
            for member, was in zip(members, before, strict=True)
            if (member.refunded_minor, member.refund_excess_minor) != was
        ]
    return changed


def anchor_ms(refund: Refund, times_ms: Sequence[int]) -> int:
    """The time of the order's newest conversion that the refund can be of: it takes from that and from those up to 30
    days before it. -1: from none.

    A rule of event time alone, so that it does not matter when old conversions are forgotten, or what comes first.
    """
    return max((at_ms for at_ms in times_ms if at_ms <= refund.at_ms + REFUND_LEAD_MS), default=-1)


def reaches(anchor: int, at_ms: int) -> bool:
    """Tell whether a refund with that `anchor_ms` may take from a conversion of the time `at_ms`."""
    return anchor - CONVERSION_KEEP_MS <= at_ms <= anchor


def _take(refund: Refund, conversions: list[Conversion]) -> None:
    reached = [found for found in conversions if refund.currency in ("", found.currency)]
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


def forget_old(state: PersonState, reachable_ms: int) -> list[Conversion]:
    """Drop conversions that no touch, and refunds that nothing at or after `reachable_ms` can change; returns the
    conversions.

    An order goes as a whole, once its newest part is old: what is left of it must add up as before.
    """
    limit_ms = reachable_ms - CONVERSION_KEEP_MS
    parts: list[Conversion | Refund] = [*state.conversions, *state.refunds]
    if all(part.at_ms >= limit_ms for part in parts):
        return []
    newest_ms: dict[str, int] = {}
    for part in parts:
        if part.order_id:
            newest_ms[part.order_id] = max(newest_ms.get(part.order_id, 0), part.at_ms)
    kept = {order_id for order_id, at_ms in newest_ms.items() if at_ms >= limit_ms - REFUND_LEAD_MS}
    state.refunds = [refund for refund in state.refunds if refund.order_id in kept]
    gone = [c for c in state.conversions if c.at_ms < limit_ms and c.order_id not in kept]
    if gone:
        state.conversions = [c for c in state.conversions if c.at_ms >= limit_ms or c.order_id in kept]
    return gone


def _refund_place(refund: Refund) -> tuple[int, str]:
    return refund.at_ms, refund.event_id
