"""Sums of attribution credit per value of a dimension and model, shared by `/attribution` and the reports. Pure.

An `attributions` row holds a conversion's touches and each model's credits as parallel arrays. Unfolded and summed as
integers, a model's credits add up to the number of conversions and its values to theirs, to the last unit.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from schemas.facts import Model
from services.query.answers import Credit
from services.query.numbers import credit, money
from services.query.periods import Granularity, period_sql, zone_parameters
from services.query.sql import Statement, Table, one_of, source, statement, within
from services.query.times import TimeRange

MAX_REPORT_ROWS: Final = 10_000
"""Of an answer. A report that would be longer is refused: cut short, its rows would not add up to its totals."""


class Dimension(StrEnum):
    CHANNEL = "channel"
    SOURCE = "source"
    MEDIUM = "medium"
    CAMPAIGN = "campaign"
    TOUCH_TYPE = "touch_type"


_ARRAYS: Final = {
    Dimension.CHANNEL: "channels",
    Dimension.SOURCE: "sources",
    Dimension.MEDIUM: "mediums",
    Dimension.CAMPAIGN: "campaigns",
    Dimension.TOUCH_TYPE: "touch_types",
}


class CreditRow(msgspec.Struct):
    """A sum over one period, key and model; `is_total`: over all periods and keys."""

    is_total: bool
    period: int
    """Its beginning, seconds since the epoch; 0 without granularity."""
    key: str
    model: str
    credit_nanos: int
    credit_minor: int
    """In the report's currency."""


def sum_credits(
    app_id: str,
    *,
    dimension: Dimension,
    models: tuple[Model, ...],
    currency: str,
    time_range: TimeRange,
    goals: tuple[str, ...] = (),
    granularity: Granularity | None = None,
    zone: str = "UTC",
) -> Statement[CreditRow]:
    """By the conversion's time. Rows of a model's totals come first."""
    conditions = [*one_of("goal", goals), *within("converted_at_ms", time_range)]
    sql = f"""SELECT toBool(grouping(key)) AS is_total, period, key, model,
    sum(share) AS credit_nanos,
    sumIf(amount, currency = {{currency:String}}) AS credit_minor
FROM
(
    SELECT {period_sql("converted_at_ms", granularity)} AS period, currency, {_ARRAYS[dimension]} AS keys,
        arrayJoin({{models:Array(String)}}) AS model,
        arrayResize(credits_nanos[model], length(keys)) AS shares,
        arrayResize(values_minor[model], length(keys)) AS amounts
    FROM {source(Table.ATTRIBUTIONS, conditions)}
)
ARRAY JOIN keys AS key, shares AS share, amounts AS amount
GROUP BY GROUPING SETS ((period, key, model), (model))
ORDER BY is_total DESC, period, credit_nanos DESC, key, model
LIMIT {{row_limit:UInt32}}"""
    return statement(
        CreditRow,
        app_id,
        sql,
        conditions,
        models=[model.value for model in models],
        currency=currency,
        row_limit=(MAX_REPORT_ROWS + 1) * len(models) + len(models),
        **zone_parameters(granularity, zone),
    )


def credits_by_model(rows: Iterable[CreditRow], models: tuple[Model, ...], currency: str) -> dict[str, Credit]:
    """`rows`: at most one for each model. A model without a row has no credit."""
    found = {row.model: row for row in rows}
    return {model.value: _credit(found.get(model.value), currency) for model in models}


def _credit(row: CreditRow | None, currency: str) -> Credit:
    nanos, minor = (row.credit_nanos, row.credit_minor) if row else (0, 0)
    return {"credited_conversions": credit(nanos), "credited_value": money(minor, currency)}
