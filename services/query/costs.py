"""List of the stored costs, by date. Pure."""

from dataclasses import dataclass, field
from datetime import date
from typing import Final

import msgspec

from services.query.answers import Cost, CostList, Meta
from services.query.cursors import Position
from services.query.numbers import money
from services.query.pages import Page, cut
from services.query.performance_sql import STANDING_COSTS
from services.query.sql import Statement, newest_first, older_than, statement, within
from services.query.times import TimeRange

LIST_NAME: Final = "costs"


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
    time_range: TimeRange = field(default_factory=TimeRange)


def list_costs(app_id: str, wanted: CostFilter, page: Page) -> Statement[StandingCost]:
    conditions = [*within("at_ms", wanted.time_range), *older_than("at_ms", "cost_id", page.after)]
    sql = f"""SELECT * FROM
(
    SELECT toInt64(toUnixTimestamp(toDateTime(date, {{cost_zone:String}}))) * 1000 AS at_ms,
        hex(sipHash128(channel, campaign, source, currency)) AS cost_id,
        date, channel, campaign, source, cost_minor, currency
    FROM ({STANDING_COSTS})
) WHERE {" AND ".join(["1", *(condition.sql for condition in conditions)])}""" + newest_first("at_ms", "cost_id")
    return statement(StandingCost, app_id, sql, conditions, cost_zone=wanted.zone, row_limit=page.row_limit)


def cost_page(rows: list[StandingCost], page: Page, meta: Meta) -> CostList:
    kept, next_cursor = cut(LIST_NAME, rows, page, lambda row: Position(row.at_ms, row.cost_id))
    return {"items": [_cost(row) for row in kept], "next_cursor": next_cursor, "meta": meta}


def _cost(row: StandingCost) -> Cost:
    return {
        "date": row.date.isoformat(),
        "channel": row.channel,
        "campaign": row.campaign or None,
        "source": row.source or None,
        "cost": money(row.cost_minor, row.currency),
        "currency": row.currency,
    }
