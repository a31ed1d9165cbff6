"""A goal as a form has it, and what stored events it would have matched. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from pipeline.control.errors import InvalidRecord
from pipeline.control.goal_text import make_condition, value_text
from pipeline.domain.conversions.goals import conversions_of
from pipeline.domain.rules import compile_rules
from schemas.amounts import shown_value
from schemas.control import App, Counting, Goal
from schemas.events import AcceptedEvent

SPARE_ROWS: Final = 3
"""Empty rows for further conditions."""
ConditionRow = tuple[str, str, str]
"""Property, operator, value."""


def goal_of(name: str, given: dict[str, str], conditions: Iterable[ConditionRow]) -> Goal:
    """Read a form. Rows without a property are left out. Raises `InvalidRecord`."""
    properties = tuple(filter(None, (one.strip() for one in given["value_properties"].split(","))))
    if given["counting"] not in set(Counting):
        raise InvalidRecord(
            "counting %(given)r: expected %(choices)s", given=given["counting"], choices=", ".join(Counting)
        )
    return Goal(
        name=name,
        display_name=given["display_name"] or name,
        goal_type=given["goal_type"],
        event_name=given["event_name"] or name,
        value_properties=properties,
        conditions=tuple(make_condition(*row) for row in conditions if row[0]),
        counting=Counting(given["counting"]),
    )


def values_of(goal: Goal) -> dict[str, str]:
    """Return a form's fields for a goal, but its conditions."""
    return {
        "name": goal.name,
        "display_name": goal.display_name,
        "goal_type": goal.goal_type,
        "event_name": goal.event_name,
        "value_properties": ", ".join(goal.value_properties),
        "counting": goal.counting.value,
    }


def rows_of(goal: Goal) -> list[ConditionRow]:
    return [(one.name, one.operator.value, value_text(one.value)) for one in goal.conditions]


def logged(goal: Goal) -> dict[str, Any]:
    """Return what the log of changes keeps of a goal."""
    values: dict[str, Any] = msgspec.to_builtins(asdict(goal))
    return {name: value for name, value in values.items() if name not in ("name", "version")}


@dataclass(frozen=True)
class Matches:
    """Events a goal would have matched, of those that were looked at. `values`: currency → sum."""

    looked_at: int
    is_whole: bool
    matched: int
    bots: int
    without_value: int
    values: dict[str, Decimal]


def matches_of(goal: Goal, app: App, events: Sequence[AcceptedEvent], is_whole: bool) -> Matches:
    """Count the events that meet the goal, by the rules of the stream; which of a person's count is not looked at."""
    rules = compile_rules(app)
    named = [event for event in events if event.event_name == goal.event_name]
    found = [one for event in named for one in conversions_of(event, (goal,), rules)]
    people = [one for one in found if not one.is_bot]
    values: dict[str, Decimal] = {}
    for one in people:
        value, currency = shown_value(one.value_minor, one.currency, one.value_issue)
        if currency and value:
            values[currency] = values.get(currency, Decimal(0)) + value
    without = sum(bool(one.value_issue) for one in people)
    return Matches(len(named), is_whole, len(people), len(found) - len(people), without, values)
