"""Rows of conversions that have left their person's state, which their order restates: some at once, the rest owed."""

from typing import Final

from pipeline.domain.effects import Effects
from pipeline.domain.rows import attribution_row, columns_of, conversion_row
from pipeline.domain.rules import AppRules
from pipeline.domain.state import OWES_ALL, ClosedConversion, Order
from schemas.facts import Reason

_REFUND: Final = Reason.REFUND.value
MAX_AT_ONCE: Final = 2
"""Conversions that a message about the order writes itself."""
MAX_PER_VISIT: Final = 10
"""Conversions that each later group writes."""


def write_owed_of_order(
    order: Order, app_id: str, rules: AppRules, effects: Effects, most: int = MAX_PER_VISIT
) -> None:
    """Write the rows of conversions whose value has changed by refunds, of `most` of them."""
    for closed in [found for found in order.closed if found.conversion.owed][:most]:
        _write(closed, app_id, rules, effects)


def owe(closed: ClosedConversion) -> None:
    closed.conversion.owed, closed.conversion.owed_reason = OWES_ALL, _REFUND


def _write(closed: ClosedConversion, app_id: str, rules: AppRules, effects: Effects) -> None:
    """Write the next revision of a conversion that has left its person. Its order is its only writer from then on."""
    conversion = closed.conversion
    conversion.owed, conversion.owed_reason = 0, ""
    conversion.attribution_revision += 1
    conversion.config_version = rules.config_version
    conversion.row_revision += 1
    path = columns_of(closed.path)
    effects.conversions.append(conversion_row(app_id, closed.person, conversion, path, _REFUND))
    effects.attributions.append(attribution_row(app_id, closed.person, conversion, path, rules, _REFUND))
