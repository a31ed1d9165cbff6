"""Orders: an order belongs to the app, so a refund finds it whoever it comes from, and long after the purchase.

Every order with a value has a small state under `o:` and its id. It knows whose states have conversions of it, all of
its refunds, and, once conversions have left their person's state (`expiry`), these with their final paths.

    where a person lives    announce         a conversion of the order is there               → `OrderCounted`
                            send_refund      a refund came, from whoever it is, or nobody     → `OrderRefund`
                            close            conversions leave the state                      → `OrderClosed`
    where the order lives   _note_holder     who has conversions of it is sent its refunds    → `OrderRefund`
                            _note_refund     whoever has conversions of it is sent it         → `OrderRefund`
                            _note_closed     refunds of these are taken here from now on
    where a person lives    _take_refund     as if it were the person's own

The messages travel by `people`, in the order of `identity.stitching`. Each may come again, and says nothing new
then; and every refund is sent to every holder, whichever of the two was heard of first. So neither crashes nor the
order of arrival matter. An anonymous person who has become a user's sends refunds on to the user.

A refund that finds no conversion waits in the order's state, for the app's history limit.
"""

from itertools import groupby

import msgspec

from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.expiry import Closed, decode_closed
from pipeline.domain.conversions.order_rows import MAX_AT_ONCE, owe, write_owed_of_order
from pipeline.domain.conversions.recount import Change
from pipeline.domain.conversions.refunds import allocate, order_message, united
from pipeline.domain.conversions.restatement import RestatementContext, restating, settle
from pipeline.domain.identity.stitching import is_moved, owner_of
from pipeline.domain.sessions.regrouping import regroup
from pipeline.domain.state import (
    MAX_CLOSED_TOUCHES,
    MAX_CONVERSIONS,
    MAX_HOLDERS,
    MAX_REFUNDS,
    ClosedConversion,
    Holder,
    Order,
    PersonState,
    Refund,
)
from schemas.people import OrderClosed, OrderCounted, OrderRefund
from schemas.persons import USER


def apply_order(context: PersonContext, record: OrderCounted | OrderRefund | OrderClosed) -> None:
    """A message about an order, in the state it is for: the order's, or that of a person with a conversion of it."""
    if isinstance(record, OrderCounted):
        _note_holder(context, record)
    elif isinstance(record, OrderClosed):
        _note_closed(context, record)
    elif not record.person:
        _note_refund(context, record)
    elif is_moved(context.state):
        context.effects.messages.append(msgspec.structs.replace(record, person=USER + owner_of(context.state)))
    else:
        _take_refund(restating(context), record)


def _take_refund(context: RestatementContext, record: OrderRefund) -> None:
    """Take a refund. If the conversions have left the state meanwhile, the order is about to hear of that."""
    state = context.state
    is_known = any(refund.event_id == record.event_id for refund in state.refunds)
    if is_known or all(found.order_id != record.order_id for found in state.conversions):
        return
    if state.gap_ms != context.rules.gap_ms:
        regroup(context)
    settle(context, Change([]), [], _refund(record))


def _note_holder(context: PersonContext, record: OrderCounted) -> None:
    order = _order(context.state, record.received_s)
    holder = next((found for found in order.holders if found.person == record.person), None)
    if holder is None:
        if len(order.holders) >= MAX_HOLDERS:
            return
        holder = Holder(record.person, [])
        order.holders.append(holder)
        for refund in order.refunds:
            context.effects.messages.append(order_message(record.app_id, refund, record.received_s, record.person))
    if record.at_ms not in holder.times_ms:
        holder.times_ms = sorted([*holder.times_ms, record.at_ms])[-MAX_CONVERSIONS:]
        _settle(context, order)


def _note_refund(context: PersonContext, record: OrderRefund) -> None:
    order = _order(context.state, record.received_s)
    if len(order.refunds) >= MAX_REFUNDS or any(found.event_id == record.event_id for found in order.refunds):
        return
    order.refunds = united(order.refunds, [_refund(record)])
    for holder in order.holders:
        context.effects.messages.append(msgspec.structs.replace(record, person=holder.person))
    _settle(context, order)


def _note_closed(context: PersonContext, record: OrderClosed) -> None:
    order = _order(context.state, record.received_s)
    given: Closed = decode_closed(record.conversions)
    order.holders = [found for found in order.holders if found.person != record.person]
    order.refunds = united(order.refunds, given.refunds)[:MAX_REFUNDS]
    known = {_key(found): found for found in order.closed}
    for found in given.conversions:
        known.setdefault(_key(found), found)
    closed = sorted(known.values(), key=lambda found: (found.person, found.conversion.at_ms, *_key(found)))
    order.closed = _within_bounds(closed)
    _settle(context, order)


def _within_bounds(closed: list[ClosedConversion]) -> list[ClosedConversion]:
    """The last of them, one at least. Each message to the order reads and writes them all."""
    touches = 0
    for count, found in enumerate(reversed(closed)):
        touches += len(found.path)
        if count and (count == MAX_CONVERSIONS or touches > MAX_CLOSED_TOUCHES):
            return closed[-count:]
    return closed


def _settle(context: PersonContext, order: Order) -> None:
    """The rows of closed conversions whose value has changed by refunds are owed, and some written."""
    if not (order.refunds and order.closed):
        return
    live_ms = {holder.person: holder.times_ms for holder in order.holders}
    for person, group in groupby(order.closed, key=lambda found: found.person):
        members = list(group)
        changed = allocate([found.conversion for found in members], order.refunds, live_ms.get(person, ()))
        ids = {id(conversion) for conversion in changed}
        for closed in members:
            if id(closed.conversion) in ids:
                owe(closed)
    write_owed_of_order(context, order, MAX_AT_ONCE)


def _order(state: PersonState, received_s: int) -> Order:
    state.received_s = max(state.received_s, received_s)
    if state.order is None:
        state.order = Order()
    return state.order


def _key(closed: ClosedConversion) -> tuple[str, str]:
    return closed.conversion.event_id, closed.conversion.goal


def _refund(record: OrderRefund) -> Refund:
    return Refund(record.at_ms, record.event_id, record.order_id, record.amount, record.currency)
