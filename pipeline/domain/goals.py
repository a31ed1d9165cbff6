"""Which goals an event meets, and what each is worth. Every event that meets a goal counts."""

import re
from typing import Any, Final, TypeGuard

from pipeline.domain.properties import read_properties
from pipeline.domain.rules import AppRules
from pipeline.domain.state import Conversion
from schemas.control import Goal
from schemas.events import StreamEvent
from schemas.money import to_minor

MAX_ORDER_ID_CHARACTERS: Final = 200
_DECIMAL: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?\Z", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}\Z")


def conversions_of(event: StreamEvent, goals: tuple[Goal, ...], rules: AppRules) -> list[Conversion]:
    """One per goal, not yet in a session. The anonymous id is remembered where the person is a known user."""
    properties = read_properties(event.properties)
    currency = _currency(properties, rules.currency)
    order_id = _order_id(properties)
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
        )
        for goal in goals
    ]


def _value_minor(properties: dict[str, Any], names: tuple[str, ...], currency: str) -> int:
    """The first property that holds a number (a decimal string is one: that is how exact backends send money).

    A negative amount, and one beyond `schemas.money.MAX_MINOR`, is no value: credits of it would make every sum they
    enter wrong. The conversion itself still counts.
    """
    for name in names:
        amount = properties.get(name)
        if _is_number(amount):
            return max(to_minor(amount, currency) or 0, 0)
    return 0


def _is_number(amount: object) -> TypeGuard[int | float | str]:
    if isinstance(amount, str):
        return _DECIMAL.match(amount) is not None
    return isinstance(amount, int | float) and not isinstance(amount, bool)


def _currency(properties: dict[str, Any], default: str) -> str:
    named = properties.get("currency")
    return named.upper() if isinstance(named, str) and _CURRENCY.match(named) else default


def _order_id(properties: dict[str, Any]) -> str:
    found = properties.get("order_id")
    if isinstance(found, str):
        return found[:MAX_ORDER_ID_CHARACTERS]
    return str(found) if isinstance(found, int) and abs(found) < 10**18 and found is not True else ""
