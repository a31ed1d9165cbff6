"""Conversions that leave a person's state: what refunds need of them moves to their orders (see `orders`).

Touches no longer restate such a conversion, so its path is final. An order leaves as a whole.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from pipeline.domain.attribution.path import Paths
from pipeline.domain.context import PersonContext
from pipeline.domain.state import ClosedConversion, Conversion, Refund
from schemas.people import OrderClosed, OrderCounted


class Closed(msgspec.Struct, array_like=True, gc=False):
    """Content of an `OrderClosed`. Fields are only ever appended."""

    conversions: list[ClosedConversion]
    refunds: list[Refund]
    """Refunds of the order in the person's state."""


encode_closed: Final = msgspec.msgpack.Encoder().encode
decode_closed: Final = msgspec.msgpack.Decoder(Closed).decode


def announce(context: PersonContext, conversions: Iterable[Conversion]) -> None:
    """Tell the orders of new conversions who has them. What has no value has nothing to give back."""
    valued = ((found.order_id, found.at_ms) for found in conversions if found.order_id and found.value_minor)
    for order_id, at_ms in dict.fromkeys(valued):
        record = OrderCounted(context.app_id, order_id, context.person, at_ms, context.state.received_s)
        context.effects.messages.append(record)


def matters_to_order(conversion: Conversion) -> bool:
    """Tell whether a refund may take something from it."""
    return conversion.is_counted and conversion.order_id != "" and conversion.value_minor > 0


def close(context: PersonContext, gone: Iterable[Conversion], paths: Paths) -> None:
    """Hand `gone`, which are by time, to their orders. Their touches must still be in `paths`."""
    by_order: dict[str, list[ClosedConversion]] = {}
    closing = list(filter(matters_to_order, gone))
    for conversion, path in zip(closing, paths.at(found.at_ms for found in closing), strict=True):
        by_order.setdefault(conversion.order_id, []).append(ClosedConversion(conversion, path, context.person))
    for order_id, conversions in by_order.items():
        refunds = [refund for refund in context.state.refunds if refund.order_id == order_id]
        data = encode_closed(Closed(conversions, refunds))
        record = OrderClosed(context.app_id, order_id, context.person, context.state.received_s, data)
        context.effects.messages.append(record)
