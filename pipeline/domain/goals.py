"""Which goals an event meets, and what each is worth. Which of them count is another matter: see `counting`."""

import re
from typing import Any, Final, TypeGuard

from pipeline.domain.conditions import all_hold
from pipeline.domain.properties import read_properties
from pipeline.domain.rules import AppRules
from pipeline.domain.state import Conversion
from schemas.control import Goal
from schemas.events import StreamEvent
from schemas.money import to_minor

REFUND: Final = "refund"
"""The event that takes value back; see `refunds`."""
MAX_ORDER_ID_CHARACTERS: Final = 200
_DECIMAL: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?\Z", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}\Z")


def conversions_of(event: StreamEvent, goals: tuple[Goal, ...], rules: AppRules) -> list[Conversion]:
    """One per goal whose conditions hold, not yet in a session.

    The anonymous id is remembered where the person is a known user. A goal on refunds names no order: the refund would
    take it back itself.
    """
    properties = read_properties(event.properties)
    currency = currency_of(properties, rules.currency)
    order_id = order_id_of(properties) if event.event_name != REFUND else ""
    anonymous_id = event.anonymous_id if event.user_id else ""
    return [
        Conversion(
            event.timestamp_ms,
            event.event_id,
            goal.name,
            goal.goal_type,
            anonymous_id,
            _value_minor(properties, goal.value_properties, currency),
            currency,
            order_id,
            goal_version=goal.version,
            counting=goal.counting.value,
        )
        for goal in goals
        if not goal.conditions or all_hold(goal.conditions, properties)
    ]


def _value_minor(properties: dict[str, Any], names: tuple[str, ...], currency: str) -> int:
    """The first property that holds a number (a decimal string is one: that is how exact backends send money).

    A negative amount, and one beyond `schemas.money.MAX_MINOR`, is no value: credits of it would make every sum they
    enter wrong. The conversion itself still counts.
    """
    for name in names:
        amount = properties.get(name)
        if is_number(amount):
            return max(to_minor(amount, currency) or 0, 0)
    return 0


def is_number(amount: object) -> TypeGuard[int | float | str]:
    if isinstance(amount, str):
        return _DECIMAL.match(amount) is not None
    return isinstance(amount, int | float) and not isinstance(amount, bool)


def currency_of(properties: dict[str, Any], default: str) -> str:
    named = properties.get("currency")
    return named.upper() if isinstance(named, str) and _CURRENCY.match(named) else default


def order_id_of(properties: dict[str, Any]) -> str:
    found = properties.get("order_id")
    if isinstance(found, str):
        return found[:MAX_ORDER_ID_CHARACTERS]
    return str(found) if isinstance(found, int) and abs(found) < 10**18 and found is not True else ""
