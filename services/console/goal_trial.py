"""Test events of a goal: one that meets it, the marks of a test, and what the goal says of an event. Pure.

A test event is a real one, so three things keep it out of what people count: it is marked as a bot's, which reports
leave out; it is a test person's, so nobody's journey changes; and it names no real order, from which a refund might
take value.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations
from typing import Any, Final

import msgspec

from pipeline.control.errors import InvalidRecord
from pipeline.control.goal_text import condition_text, value_text
from pipeline.domain.conversions.conditions import Unmet, all_hold, why_unmet
from pipeline.domain.conversions.goals import conversions_of
from pipeline.domain.preview import rules_of
from pipeline.domain.properties import read_properties
from schemas.amounts import shown_value
from schemas.control import App, Goal, GoalCondition, Operator
from schemas.events import AcceptedEvent
from schemas.unreadable import UNREADABLE

PREFIX: Final = "attrikit-test-"
"""Prefix of the ids of test events, of their persons and of their orders."""
USER_AGENT: Final = "AttriKit-Test-Event/1 (synthetic)"
"""An agent that the gateway knows as a bot's."""
_PAGE: Final = "https://example.com/?utm_source=attrikit_test&utm_medium=cpc&utm_campaign=test_event"
_VALUE: Final = 99.5
_ANY: Final = ("example", "another", 1, True)
_KINDS: Final[dict[type, str]] = {str: "string", bool: "boolean", int: "number", float: "number", list: "array"}
_NULL: Final = msgspec.Raw(b"null")
RawEvent = dict[str, msgspec.Raw]
"""An event as it was typed, field by field."""


def example_of(goal: Goal, app: App, number: str) -> dict[str, Any]:
    """Return an event that meets a goal, of the test person with this number, who came by an advertisement. Where no
    value meets all conditions of a property, it has one of them."""
    return {
        "event_name": goal.event_name,
        "anonymous_id": PREFIX + number,
        "properties": _properties_for(goal, app),
        "context": {"page": {"url": _PAGE}},
    }


def _properties_for(goal: Goal, app: App) -> dict[str, Any]:
    names = dict.fromkeys(one.name for one in goal.conditions)
    given = {name: _value_for([one for one in goal.conditions if one.name == name]) for name in names}
    if goal.value_properties:
        given = {goal.value_properties[0]: _VALUE, "currency": app.currency} | given
    return {name: value for name, value in given.items() if value is not None}


def _value_for(conditions: list[GoalCondition]) -> Any:
    """Return a value that meets the conditions of one property, as far as one is found; None: leave it out."""
    tried = list(_values_for(conditions))
    return next((one for one in tried if all_hold(conditions, {conditions[0].name: one})), tried[0])


def _values_for(conditions: list[GoalCondition]) -> Iterator[Any]:
    numbers: list[float] = []
    for one in conditions:
        if one.operator is Operator.EXISTS:
            yield None if one.value is False else _ANY[0]
        elif one.operator is Operator.CONTAINS:
            yield one.value if isinstance(one.value, str) else [one.value]
        elif isinstance(one.value, str):
            yield from (one.value, one.value + "0", "")
        elif isinstance(one.value, bool):
            yield from (one.value, not one.value)
        elif one.value is not None:
            numbers.append(one.value)
            yield from (one.value, one.value + 1, one.value - 1)
    yield from _between(numbers)
    yield from _ANY


def _between(numbers: list[float]) -> Iterator[float]:
    for one, other in combinations(numbers, 2):
        with suppress(OverflowError):  # a goal may be of the time before its numbers were bounded
            yield (one + other) / 2


def read_event(text: str, event_id: str) -> RawEvent:
    """Read one event, and mark it as a test. `event_id`: for one that has none. Raises `InvalidRecord`."""
    event = _fields_of(text)
    if event is None:
        raise InvalidRecord("a test event is one event, as a JSON object")
    if not _is_given(event.get("event_id", _NULL)):
        event["event_id"] = _raw(event_id)
    given = event.get("context", _NULL)
    context = _fields_of(given) if _is_given(given) else {}
    if context is not None:  # the gateway refuses the event otherwise
        event["context"] = _raw(context | {"user_agent": _raw(USER_AGENT)})
    return event


def refuse_real_ids(event: RawEvent) -> None:
    """Raise `InvalidRecord` unless all ids of an event are those of a test."""
    ids = {name: event.get(name, _NULL) for name in ("event_id", "user_id", "anonymous_id")}
    ids["properties.order_id"] = (_fields_of(event.get("properties", _NULL)) or {}).get("order_id", _NULL)
    for name, given in ids.items():
        if _is_given(given) and not _is_of_test(given):
            raise InvalidRecord(
                "%(field)s of a test event must begin with %(prefix)s: it changes no real person and no real order",
                field=name,
                prefix=PREFIX,
            )


def _fields_of(text: str | msgspec.Raw) -> RawEvent | None:
    try:
        return msgspec.json.decode(text, type=RawEvent)
    except UNREADABLE:
        return None


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _is_given(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in (b"null", b'""')


def _is_of_test(raw: msgspec.Raw) -> bool:
    try:
        found = msgspec.json.decode(raw)
    except UNREADABLE:  # a number out of range, of which the fields alone do not tell
        return False
    return isinstance(found, str) and found.startswith(PREFIX)


@dataclass(frozen=True)
class CheckedCondition:
    """A condition as it was checked. `found`: the property, as text; `kind`: its type, empty where there is none."""

    text: str
    found: str
    kind: str
    unmet: Unmet | None


@dataclass(frozen=True)
class Verdict:
    """Result of checking an event against a goal. `properties`: (name, kind, value), as they were read."""

    properties: list[tuple[str, str, str]]
    is_named: bool
    """The event has the name that the goal is about."""
    has_person: bool
    conditions: list[CheckedCondition]
    value: Decimal | None
    currency: str | None
    issue: str
    """Why its value is not known: a `ValueIssue`, or empty."""

    @property
    def is_met(self) -> bool:
        return self.is_named and self.has_person and all(one.unmet is None for one in self.conditions)


def verdict_on(goal: Goal, app: App, event: AcceptedEvent) -> Verdict:
    """Say what a goal makes of an event, by the rules of the stream, condition by condition."""
    properties = read_properties(event.properties)
    (found,) = conversions_of(event, (replace(goal, conditions=()),), rules_of(app))
    value, currency = shown_value(found.value_minor, found.currency, found.value_issue)
    return Verdict(
        properties=[(name, _kind_of(given), value_text(given)) for name, given in properties.items()],
        is_named=event.event_name == goal.event_name,
        has_person=bool(event.user_id or event.anonymous_id),
        conditions=[_checked(one, properties) for one in goal.conditions],
        value=value,
        currency=currency,
        issue=found.value_issue,
    )


def _checked(condition: GoalCondition, properties: dict[str, Any]) -> CheckedCondition:
    found = properties.get(condition.name)
    kind = "" if found is None else _kind_of(found)
    return CheckedCondition(condition_text(condition), value_text(found), kind, why_unmet(condition, properties))


def _kind_of(value: Any) -> str:
    return _KINDS.get(type(value), "object")
