"""Statements of conversions: the list, and one by its id. Pure."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from schemas.money import to_minor
from services.query.core.lists import Page
from services.query.core.sql import (
    Condition,
    Newest,
    SortKey,
    Statement,
    Table,
    but_bots,
    columns,
    equals,
    older_than,
    one_of,
    source,
    statement,
    within,
)
from services.query.core.times import ALL_TIME, TimeRange

ORDER: Final = SortKey("converted_at_ms", "conversion_id")

NET_VALUE: Final = "(value_minor - refunded_minor)"
"""Net value of a conversion, after refunds: wherever an answer says `value`, this is meant."""
EMPTY_PATH_CHANNEL: Final = "direct"
"""Channel that gets the credit where there was no touch."""


class ConversionFact(msgspec.Struct):
    """The columns of a conversion an answer shows."""

    conversion_id: str
    goal: str
    goal_type: str
    event_id: str
    person_key: str
    user_id: str
    anonymous_id: str
    session_id: str
    converted_at_ms: int
    value_minor: int
    refunded_minor: int
    currency: str
    order_id: str
    goal_version: int
    path_channels: list[str]
    value_issue: str
    is_bot: bool


@dataclass(frozen=True)
class ConversionFilter:
    goals: tuple[str, ...] = ()
    user_id: str | None = None
    time_range: TimeRange = ALL_TIME
    currency: str | None = None
    min_value: Decimal | None = None
    """Minimum value, in whole units of `currency`, which must be given with it."""
    include_bots: bool = False


def list_conversions(app_id: str, wanted: ConversionFilter, page: Page) -> Newest[ConversionFact]:
    conditions = (*conditions_of(wanted), *older_than(ORDER, page.after))
    return Newest(ConversionFact, app_id, Table.CONVERSIONS, ORDER, conditions, page.row_limit)


def conditions_of(wanted: ConversionFilter) -> list[Condition]:
    return [
        *one_of("goal", wanted.goals),
        *equals("user_id", wanted.user_id),
        *equals("currency", wanted.currency),
        *_at_least(wanted),
        *within("converted_at_ms", wanted.time_range),
        *but_bots(wanted.include_bots),
    ]


def _at_least(wanted: ConversionFilter) -> list[Condition]:
    """Build the condition of a minimum value. Amounts compare only within one currency."""
    if wanted.min_value is None:
        return []
    assert wanted.currency is not None
    min_minor = to_minor(str(wanted.min_value), wanted.currency)
    return [Condition(f"{NET_VALUE} >= {{min_minor:Int64}}", {"min_minor": min_minor})]


def find_conversion(app_id: str, conversion_id: str) -> Statement[ConversionFact]:
    conditions = equals("conversion_id", conversion_id)
    sql = f"SELECT {columns(ConversionFact)} FROM {source(Table.CONVERSIONS, conditions)} LIMIT 1"
    return statement(ConversionFact, app_id, sql, conditions)
