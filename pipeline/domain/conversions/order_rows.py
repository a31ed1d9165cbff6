"""Rows of conversions that have left their person's state, which their order restates: some at once, the rest owed."""

from typing import Final

from pipeline.domain.context import PersonContext
from pipeline.domain.rows import attribution_row, columns_of, conversion_row
from pipeline.domain.state import OWES_ALL, ClosedConversion, Order
from schemas.facts import Reason

_REFUND: Final = Reason.REFUND.value
MAX_AT_ONCE: Final = 2
"""Conversions that a message about the order writes itself."""
MAX_PER_WAKEUP: Final = 10
"""Conversions that each later group writes."""


def write_owed_of_order(context: PersonContext, order: Order, most: int = MAX_PER_WAKEUP) -> None:
    """Write the rows of conversions whose value has changed by refunds, of `most` of them."""
    for closed in [found for found in order.closed if found.conversion.owed][:most]:
        _write(context.about(closed.person), closed)


def owe(closed: ClosedConversion) -> None:
    closed.conversion.owed, closed.conversion.owed_reason = OWES_ALL, _REFUND


def _write(context: PersonContext, closed: ClosedConversion) -> None:
    """Write the next revision of a conversion that has left its person. Its order is its only writer from then on."""
    conversion = closed.conversion
    conversion.owed, conversion.owed_reason = 0, ""
    conversion.attribution_revision += 1
    conversion.config_version = context.rules.config_version
    conversion.row_revision += 1
    path = columns_of(closed.path)
    context.effects.conversions.append(conversion_row(context, conversion, path, _REFUND))
    context.effects.attributions.append(attribution_row(context, conversion, path, _REFUND))
