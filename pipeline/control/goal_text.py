"""Conditions of goals as people type them: a property, an operator, a value. Pure."""

import msgspec

from pipeline.control.errors import InvalidRecord
from schemas.control import GoalCondition, Operator
from schemas.unreadable import UNREADABLE

Value = str | int | float | bool | None


def make_condition(name: str, operator: str, value: str) -> GoalCondition:
    """Make a condition of three texts. Raises `InvalidRecord`; the control plane checks the rest when it is stored."""
    if operator not in set(Operator) or (not value and operator != Operator.EXISTS):
        choices = ", ".join(Operator)
        given = " ".join(filter(None, (name, operator, value)))
        raise InvalidRecord(
            "%(given)r: expected PROPERTY OPERATOR VALUE with %(choices)s", given=given, choices=choices
        )
    return GoalCondition(name, Operator(operator), parse_value(value))


def parse_value(text: str) -> Value:
    """Read the value as JSON if it is a string, number or boolean of JSON, else as text; empty: none."""
    if not text:
        return None
    try:
        found = msgspec.json.decode(text)
    except UNREADABLE:
        return text
    return found if isinstance(found, str | int | float) else text


def value_text(value: Value) -> str:
    """Write a value so that `parse_value` reads it again; empty: none."""
    return "" if value is None else msgspec.json.encode(value).decode()


def condition_text(condition: GoalCondition) -> str:
    return " ".join(filter(None, (condition.name, condition.operator, value_text(condition.value))))
