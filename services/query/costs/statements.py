"""Statement of the list of stored costs, by date. Pure."""

from dataclasses import dataclass
from datetime import date
from typing import Final

import msgspec

from services.query.core.lists import Page
from services.query.core.sql import SortKey, Statement, Table, newest_first, older_than, source, statement, within
from services.query.core.times import ALL_TIME, TimeRange

ORDER: Final = SortKey("at_ms", "cost_id")

COST_AT_MS: Final = "toInt64(toUnixTimestamp(toDateTime(date, {cost_zone:String}))) * 1000"
STANDING_COSTS: Final = f"""SELECT * FROM
(
    SELECT *, max(if(is_marker, revision, 0)) OVER (PARTITION BY date, source) AS imported_anew
    FROM {source(Table.COSTS)}
) WHERE NOT is_marker AND revision >= imported_anew"""
"""Imported costs that are valid: of the newest import of their day and source."""


class StandingCost(msgspec.Struct):
    at_ms: int
    """Midnight of its date in the zone of the question."""
    cost_id: str
    date: date
    channel: str
    campaign: str
    source: str
    cost_minor: int
    currency: str


@dataclass(frozen=True)
class CostFilter:
    zone: str
    time_range: TimeRange = ALL_TIME


def list_costs(app_id: str, wanted: CostFilter, page: Page) -> Statement[StandingCost]:
    conditions = [*within("at_ms", wanted.time_range), *older_than(ORDER, page.after)]
    sql = f"""SELECT * FROM
(
    SELECT toInt64(toUnixTimestamp(toDateTime(date, {{cost_zone:String}}))) * 1000 AS at_ms,
        hex(sipHash128(channel, campaign, source, currency)) AS cost_id,
        date, channel, campaign, source, cost_minor, currency
    FROM ({STANDING_COSTS})
) WHERE {" AND ".join(["1", *(condition.sql for condition in conditions)])}""" + newest_first(ORDER)
    return statement(StandingCost, app_id, sql, conditions, cost_zone=wanted.zone, row_limit=page.row_limit)
