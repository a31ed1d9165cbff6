"""Conditions of goals on an event's properties. A value that cannot be compared does not meet a condition."""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import StrEnum
from operator import ge, gt, le, lt
from typing import Any, Final

from schemas.control import GoalCondition, Operator

_NUMBER: Final = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?(?:[eE][-+]?\d{1,3})?\Z", re.ASCII)
_ORDER: Final[dict[Operator, Callable[[Any, Any], bool]]] = {
    Operator.GT: gt,
    Operator.GTE: ge,
    Operator.LT: lt,
    Operator.LTE: le,
}


def all_hold(conditions: Iterable[GoalCondition], properties: dict[str, Any]) -> bool:
    return all(_holds(condition, properties.get(condition.name)) for condition in conditions)


class Unmet(StrEnum):
    """Why a condition does not hold."""

    ABSENT = "absent"
    PRESENT = "present"
    INCOMPARABLE = "incomparable"
    """The property and the condition's value are of kinds that are not compared."""
    OTHER = "other"


def why_unmet(condition: GoalCondition, properties: dict[str, Any]) -> Unmet | None:
    """Return why a condition does not hold; None: it does."""
    found = properties.get(condition.name)
    if _holds(condition, found):
        return None
    if found is None:
        return Unmet.ABSENT
    if condition.operator is Operator.EXISTS:
        return Unmet.PRESENT
    return Unmet.OTHER if _is_comparable(condition.operator, found, condition.value) else Unmet.INCOMPARABLE


def _is_comparable(operator: Operator, found: Any, value: Any) -> bool:
    if operator is Operator.CONTAINS:
        return isinstance(found, str | list)
    if isinstance(found, bool) or isinstance(value, bool):
        return isinstance(found, bool) and isinstance(value, bool) and operator not in _ORDER
    are_texts = isinstance(found, str) and isinstance(value, str)
    return are_texts or (_number(found) is not None and _number(value) is not None)


def _holds(condition: GoalCondition, found: Any) -> bool:
    """`found`: the property; None if it is absent or null, which is the same here."""
    operator, value = condition.operator, condition.value
    if operator is Operator.EXISTS:
        return (found is None) is (value is False)
    if operator is Operator.EQ:
        return found is not None and _is_equal(found, value)
    if operator is Operator.NE:
        return found is None or not _is_equal(found, value)
    if operator is Operator.CONTAINS:
        return _contains(found, value)
    return _is_in_order(_ORDER[operator], found, value)


def _is_equal(found: Any, value: Any) -> bool:
    if isinstance(found, bool) or isinstance(value, bool):
        return found is value
    one, other = _number(found), _number(value)
    if one is not None and other is not None:
        return one == other
    return isinstance(found, str) and found == value


def _contains(found: Any, value: Any) -> bool:
    if isinstance(found, list):
        return any(_is_equal(item, value) for item in found)
    return isinstance(found, str) and value is not None and str(value) in found


def _is_in_order(is_so: Callable[[Any, Any], bool], found: Any, value: Any) -> bool:
    """Numbers by size; two strings that are not both numbers by code point, which orders ISO dates rightly."""
    one, other = _number(found), _number(value)
    if one is not None and other is not None:
        return is_so(one, other)
    return isinstance(found, str) and isinstance(value, str) and is_so(found, value)


def _number(value: Any) -> Decimal | None:
    """Convert a number by its shortest decimal form, so that 19.99 equals "19.99"."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        text = str(value)
    except ValueError:  # an integer of thousands of digits
        return None
    return Decimal(text) if _NUMBER.match(text) else None
