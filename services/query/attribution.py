"""Attribution report: sums of credit per value of a dimension, every model side by side. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from schemas.facts import Model
from services.query.answers import AttributionItem, AttributionReport, ReportMeta
from services.query.credits import Dimension, credit_columns, credit_sums, credits_by_model, shown_part, unfolded
from services.query.numbers import money
from services.query.report_rows import ROW_LIMIT, PartSql, ReportRow, part_of, union
from services.query.sql import Statement, Table, but_bots, one_of, source, statement, within
from services.query.times import TimeRange

CREDITS: Final = "credits"
CONVERSIONS: Final = "conversions"


@dataclass(frozen=True)
class AttributionQuery:
    dimension: Dimension
    models: tuple[Model, ...]
    currency: str
    goals: tuple[str, ...] = ()
    time_range: TimeRange = field(default_factory=TimeRange)
    include_bots: bool = False


def attribution_rows(app_id: str, wanted: AttributionQuery) -> Statement[ReportRow]:
    conditions = [
        *one_of("goal", wanted.goals),
        *within("converted_at_ms", wanted.time_range),
        *but_bots(wanted.include_bots),
    ]
    rows = source(Table.ATTRIBUTIONS, conditions)
    credits = PartSql(
        CREDITS,
        unfolded(
            f"(SELECT false AS is_previous, 0 AS period, currency, {credit_columns(wanted.dimension, wanted.models)}"
            f" FROM {rows})",
            wanted.models,
        ),
        credit_sums(wanted.models),
    )
    conversions = PartSql(
        CONVERSIONS,
        f"SELECT false AS is_previous, 0 AS period, '' AS key, value_minor, refunded_minor, currency FROM {rows}",
        (
            "count()",
            "sumIf(value_minor, currency = {currency:String})",
            "sumIf(refunded_minor, currency = {currency:String})",
        ),
        currency="currency",
    )
    sql = union((credits, conversions))
    return statement(ReportRow, app_id, sql, conditions, currency=wanted.currency, row_limit=ROW_LIMIT)


def other_currencies(rows: Iterable[ReportRow]) -> list[str]:
    return list(part_of(rows, CONVERSIONS).currencies)


def attribution_report(wanted: AttributionQuery, rows: list[ReportRow], meta: ReportMeta) -> AttributionReport:
    """Build the report; items in the order of the first model's credit, greatest first."""
    credits = shown_part(part_of(rows, CREDITS), wanted.models)
    count, value_minor, refunded_minor = part_of(rows, CONVERSIONS).totals or (0, 0, 0)
    items: list[AttributionItem] = [
        {"key": key or None, "models": credits_by_model(numbers, wanted.models, wanted.currency)}
        for (_, key), numbers in credits.numbers.items()
    ]
    first = wanted.models[0].value
    items.sort(key=lambda item: (-item["models"][first]["credited_conversions"], item["key"] or ""))
    return {
        "dimension": wanted.dimension.value,
        "items": items,
        "totals": {
            "conversions": count,
            "value": money(value_minor, wanted.currency),
            "refunded": money(refunded_minor, wanted.currency),
            "models": credits_by_model(credits.totals, wanted.models, wanted.currency),
        },
        "meta": meta,
    }
