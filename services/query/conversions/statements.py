"""Statements of conversions: the list, and one by its id. Pure."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from schemas.facts import ConversionHead
from schemas.money import to_minor
from services.query.aggregates.touch_contents import has_content
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


class ConversionFact(ConversionHead, gc=False):
    """The columns of a conversion an answer shows."""

    refunded_minor: int
    goal_version: int
    path_channels: list[str]
    value_issue: str
    is_bot: bool


@dataclass(frozen=True)
class TouchFilter:
    """What one touch of a conversion's path must have; None: anything."""

    channel: str | None = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    content: str | None = None

    def conditions(self, time_range: TimeRange) -> list[Condition]:
        """Select the conversions of the range with such a touch: in the attributions, as the reports credit it, where
        the fields of a path's touches are arrays beside each other."""
        asked = {
            "channel": self.channel,
            "source": self.source,
            "medium": self.medium,
            "campaign": self.campaign,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        tests = {name: Condition(f"{name} = {{touch_{name}:String}}", {f"touch_{name}": given[name]}) for name in given}
        if self.content is not None:
            tests["touch_id"] = has_content(time_range, self.content)
        if not tests:
            return []
        is_it = " AND ".join(test.sql for test in tests.values())
        has_it = Condition(f"arrayExists(({', '.join(tests)}) -> {is_it}, {', '.join(f'{name}s' for name in tests)})")
        rows = source(Table.ATTRIBUTIONS, [has_it, *within("converted_at_ms", time_range)])
        bound = {name: value for test in tests.values() for name, value in test.parameters.items()}
        return [Condition(f"conversion_hash IN (SELECT conversion_hash FROM {rows})", bound)]


@dataclass(frozen=True)
class ConversionFilter:
    goals: tuple[str, ...] = ()
    user_id: str | None = None
    time_range: TimeRange = ALL_TIME
    currency: str | None = None
    min_value: Decimal | None = None
    """Minimum value, in whole units of `currency`, which must be given with it."""
    include_bots: bool = False
    touch: TouchFilter = TouchFilter()


def list_conversions(app_id: str, wanted: ConversionFilter, page: Page) -> Newest[ConversionFact]:
    conditions = (*conditions_of(wanted), *older_than(ORDER, page.after))
    return Newest(ConversionFact, app_id, Table.CONVERSIONS, ORDER, conditions, page.row_limit)


def conditions_of(wanted: ConversionFilter) -> list[Condition]:
    return [
        *one_of("goal", wanted.goals),
        *equals("user_id", wanted.user_id),
        *equals("currency", wanted.currency),
        *_at_least(wanted),
        *wanted.touch.conditions(wanted.time_range),
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
