"""Lists of conversions. Pure."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import msgspec

from schemas.amounts import shown_value
from schemas.money import to_minor
from services.query.answers import Conversion, ConversionList, Meta
from services.query.cursors import Position
from services.query.numbers import money
from services.query.pages import Page, cut
from services.query.sql import (
    Condition,
    Newest,
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
from services.query.times import TimeRange, time_in_zone

LIST_NAME: Final = "conversions"
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
    time_range: TimeRange = field(default_factory=TimeRange)
    currency: str | None = None
    min_value: Decimal | None = None
    """Minimum value, in whole units of `currency`, which must be given with it."""
    include_bots: bool = False


def conditions_of(wanted: ConversionFilter) -> list[Condition]:
    return [
        *one_of("goal", wanted.goals),
        *equals("user_id", wanted.user_id),
        *equals("currency", wanted.currency),
        *_at_least(wanted),
        *within("converted_at_ms", wanted.time_range),
        *but_bots(wanted.include_bots),
    ]


def list_conversions(app_id: str, wanted: ConversionFilter, page: Page) -> Newest[ConversionFact]:
    conditions = (*conditions_of(wanted), *older_than("converted_at_ms", "conversion_id", page.after))
    return Newest(
        ConversionFact, app_id, Table.CONVERSIONS, "converted_at_ms", "conversion_id", conditions, page.row_limit
    )


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


def conversion_page(rows: list[ConversionFact], page: Page, meta: Meta) -> ConversionList:
    kept, next_cursor = cut(LIST_NAME, rows, page, lambda row: Position(row.converted_at_ms, row.conversion_id))
    return {"items": [conversion_of(row, meta["timezone"]) for row in kept], "next_cursor": next_cursor, "meta": meta}


def conversion_of(row: ConversionFact, zone: str) -> Conversion:
    channels = row.path_channels or [EMPTY_PATH_CHANNEL]
    value, currency = shown_value(row.value_minor - row.refunded_minor, row.currency, row.value_issue)
    return {
        "conversion_id": row.conversion_id,
        "goal": row.goal,
        "goal_type": row.goal_type,
        "goal_version": row.goal_version,
        "event_id": row.event_id,
        "converted_at": time_in_zone(row.converted_at_ms, zone),
        "user_id": row.user_id or None,
        "anonymous_id": row.anonymous_id or None,
        "session_id": row.session_id or None,
        "order_id": row.order_id or None,
        "value": value,
        "value_issue": row.value_issue or None,
        "refunded": money(row.refunded_minor, row.currency),
        "currency": currency,
        "path_length": len(row.path_channels),
        "first_channel": channels[0],
        "last_channel": channels[-1],
        "is_bot": row.is_bot,
    }
