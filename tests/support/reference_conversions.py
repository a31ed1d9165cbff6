"""Reference conversions and refunds, the plain way, for comparison (see `reference`)."""

import json
import operator
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

from schemas.control import App, GoalCondition
from schemas.events import StreamEvent
from schemas.ids import conversion_id
from schemas.money import MAX_MINOR, minor_digits

DAY_MS = 86_400_000
Row = dict[str, Any]


def identity(person: str, anonymous_id: str) -> Row:
    return {
        "person_key": person,
        "user_id": person[2:] if person[0] == "u" else "",
        "anonymous_id": person[2:] if person[0] == "a" else anonymous_id,
    }


def conversions_of(event: StreamEvent, person: str, named: str, app: App) -> list[Row]:
    goals = [goal for goal in app.goals if goal.event_name == event.event_name]
    if not goals:
        return []
    properties = json.loads(bytes(event.properties))
    given = properties.get("currency", app.currency).upper()
    currency = app.currency if "$" in given else given
    return [
        {
            "app_id": app.app_id,
            "conversion_id": conversion_id(app.app_id, goal.name, event.event_id),
            "goal": goal.name,
            "goal_type": goal.goal_type,
            "event_id": event.event_id,
            **identity(person, event.anonymous_id),
            "session_id": named,
            "converted_at_ms": event.timestamp_ms,
            "value_minor": 0 if "$" in given else _value(properties, goal.value_properties, currency),
            "currency": currency,
            "order_id": str(properties.get("order_id", "")) if event.event_name != "refund" else "",
            "goal_version": goal.version,
            "refunded_minor": 0,
            "refund_excess_minor": 0,
            "value_issue": _value_issue(properties, goal.value_properties),
            "counting": goal.counting,
            "is_bot": event.is_bot,
        }
        for goal in goals
        if all(_meets(properties, condition) for condition in goal.conditions)
    ]


def _meets(properties: Row, condition: GoalCondition) -> bool:
    given, value = properties.get(condition.name), condition.value
    if condition.operator == "exists":
        return (given is not None) == (value is not False)
    if condition.operator == "ne":
        return given is None or _plain(given) != _plain(value)
    if given is None:
        return False
    if condition.operator == "contains":
        return value in given
    comparisons = {"eq": operator.eq, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
    return bool(comparisons[condition.operator](_plain(given), _plain(value)))


def _plain(value: Any) -> Any:
    try:
        return Fraction(str(value))
    except ValueError:
        return value


def counted(met: list[Row], counted_of_person: set[str]) -> list[Row]:
    """`met`: of one session, by time. Sessions come by time, so the first one seen is the first."""
    found: list[Row] = []
    counted_of_visit: set[str] = set()
    for row in met:
        once = {"once_per_session": counted_of_visit, "once_per_person": counted_of_person}.get(row["counting"])
        if once is None or row["goal"] not in once:
            found.append(row)
        if once is not None:
            once.add(row["goal"])
    return found


# Refunds


def take_back(conversions: list[Row], refunds: list[StreamEvent]) -> None:
    """`conversions` by time, and so are the refunds."""
    for goal, currency in {(row["goal"], row["currency"]) for row in conversions}:
        for event in refunds:
            asked = json.loads(bytes(event.properties))
            if asked.get("currency", currency).upper() != currency or "order_id" not in asked:
                continue
            valued = [row for row in conversions if row["order_id"] == str(asked["order_id"]) and row["value_minor"]]
            before = [row for row in valued if row["converted_at_ms"] <= event.timestamp_ms + DAY_MS]
            newest_ms = max((row["converted_at_ms"] for row in before), default=0)
            same = [
                row
                for row in before
                if (row["goal"], row["currency"]) == (goal, currency)
                and newest_ms - row["converted_at_ms"] <= 30 * DAY_MS
            ]
            _take(same, _asked(asked, currency))


def _asked(asked: Row, currency: str) -> int | None:
    """In smallest units; None: all there is."""
    given = [asked[name] for name in ("value", "amount", "revenue", "price") if name in asked]
    if not given:
        return None
    try:
        amount = abs(Decimal(str(given[0]))) * 10 ** minor_digits(currency)
    except ArithmeticError:
        return 0
    return int(amount.quantize(Decimal(1), ROUND_HALF_EVEN))


def _take(rows: list[Row], amount: int | None) -> None:
    for row in rows:
        left = row["value_minor"] - row["refunded_minor"]
        taken = left if amount is None else min(left, amount)
        row["refunded_minor"] += taken
        amount = amount if amount is None else amount - taken
    if rows and amount:
        rows[-1]["refund_excess_minor"] += amount


def _value(properties: Row, names: tuple[str, ...], currency: str) -> int:
    for name in names:
        if isinstance(properties.get(name), int | float):
            amount = Decimal(repr(properties[name])) * 10 ** minor_digits(currency)
            return int(amount.quantize(Decimal(1), ROUND_HALF_EVEN)) if 0 <= amount <= MAX_MINOR else 0
    return 0


def _value_issue(properties: Row, names: tuple[str, ...]) -> str:
    given = next((properties[name] for name in names if name in properties), 0)
    if names and "$" in properties.get("currency", ""):
        return "unreadable_currency"
    if str(given).startswith("-"):
        return "negative_value"
    return "unreadable_value" if given == "some" else ""
