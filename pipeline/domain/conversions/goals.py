"""Goals an event meets, and the value of each. For which of them count, see `counting`."""

from typing import Any, Final

from pipeline.domain.conversions.conditions import all_hold
from pipeline.domain.properties import read_properties
from pipeline.domain.rules import AppRules
from pipeline.domain.state import Conversion
from schemas.amounts import read_value
from schemas.control import Goal
from schemas.events import StreamEvent

REFUND: Final = "refund"
"""The event that takes value back; see `refunds`."""
MAX_ORDER_ID_CHARACTERS: Final = 200


def conversions_of(event: StreamEvent, goals: tuple[Goal, ...], rules: AppRules) -> list[Conversion]:
    """Return one conversion per goal whose conditions hold, not yet in a session.

    The anonymous id is remembered where the person is a known user. A goal on refunds names no order: the refund would
    take it back itself.
    """
    properties = read_properties(event.properties)
    order_id = order_id_of(properties) if event.event_name != REFUND else ""
    anonymous_id = event.anonymous_id if event.user_id else ""
    found = []
    for goal in goals:
        if not goal.conditions or all_hold(goal.conditions, properties):
            value_minor, currency, issue = _value_of(properties, goal.value_properties, rules.currency)
            conversion = Conversion(
                event.timestamp_ms,
                event.event_id,
                goal.name,
                goal.goal_type,
                anonymous_id,
                value_minor,
                currency,
                order_id,
                goal_version=goal.version,
                counting=goal.counting.value,
                value_issue=issue,
                is_bot=event.is_bot,
            )
            found.append(conversion)
    return found


def _value_of(properties: dict[str, Any], names: tuple[str, ...], own_currency: str) -> tuple[int, str, str]:
    """A goal that takes no value has none whatever stands in the event."""
    value_minor, currency, issue = read_value(properties, names, own_currency)
    return value_minor, currency, issue if names else ""


def order_id_of(properties: dict[str, Any]) -> str:
    found = properties.get("order_id")
    if isinstance(found, str):
        return found[:MAX_ORDER_ID_CHARACTERS]
    return str(found) if isinstance(found, int) and abs(found) < 10**18 and found is not True else ""
