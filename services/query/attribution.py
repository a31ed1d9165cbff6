"""Who gets the credit: sums per value of a dimension, every model side by side. Pure."""

from dataclasses import dataclass, field

import msgspec

from schemas.facts import Model
from services.query.answers import AttributionItem, AttributionReport, ReportMeta
from services.query.credits import CreditRow, Dimension, credits_by_model, sum_credits
from services.query.numbers import money
from services.query.sql import Statement, Table, one_of, source, statement, within
from services.query.times import TimeRange


@dataclass(frozen=True)
class AttributionQuery:
    dimension: Dimension
    models: tuple[Model, ...]
    currency: str
    goals: tuple[str, ...] = ()
    time_range: TimeRange = field(default_factory=TimeRange)


class AttributedTotals(msgspec.Struct):
    conversion_count: int
    total_minor: int
    """What is left after refunds."""
    total_refunded_minor: int
    currencies: list[str]


def credit_rows(app_id: str, wanted: AttributionQuery) -> Statement[CreditRow]:
    return sum_credits(
        app_id,
        dimension=wanted.dimension,
        models=wanted.models,
        currency=wanted.currency,
        time_range=wanted.time_range,
        goals=wanted.goals,
    )


def attributed_totals(app_id: str, wanted: AttributionQuery) -> Statement[AttributedTotals]:
    conditions = [*one_of("goal", wanted.goals), *within("converted_at_ms", wanted.time_range)]
    sql = f"""SELECT count() AS conversion_count,
    sumIf(value_minor, currency = {{currency:String}}) AS total_minor,
    sumIf(refunded_minor, currency = {{currency:String}}) AS total_refunded_minor,
    arraySort(groupUniqArrayIf(currency, currency NOT IN ('', {{currency:String}}))) AS currencies
FROM {source(Table.ATTRIBUTIONS, conditions)}"""
    return statement(AttributedTotals, app_id, sql, conditions, currency=wanted.currency)


def attribution_report(
    wanted: AttributionQuery, rows: list[CreditRow], totals: AttributedTotals, meta: ReportMeta
) -> AttributionReport:
    """Items in the order of the first model's credit, greatest first."""
    by_key: dict[str, list[CreditRow]] = {}
    for row in rows:
        if not row.is_total:
            by_key.setdefault(row.key, []).append(row)
    items: list[AttributionItem] = [
        {"key": key or None, "models": credits_by_model(found, wanted.models, wanted.currency)}
        for key, found in by_key.items()
    ]
    first = wanted.models[0].value
    items.sort(key=lambda item: (-item["models"][first]["credited_conversions"], item["key"] or ""))
    return {
        "dimension": wanted.dimension.value,
        "items": items,
        "totals": {
            "conversions": totals.conversion_count,
            "value": money(totals.total_minor, wanted.currency),
            "refunded": money(totals.total_refunded_minor, wanted.currency),
            "models": credits_by_model((row for row in rows if row.is_total), wanted.models, wanted.currency),
        },
        "meta": meta,
    }
