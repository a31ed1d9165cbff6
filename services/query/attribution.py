"""Attribution report: sums of credit per value of a dimension, every model side by side. Pure."""

from dataclasses import dataclass, field
from typing import Final

from schemas.facts import Model
from services.query.answers import AttributionItem, AttributionReport, Meta
from services.query.counted import Counted, by_goal, by_goal_part, goal_sums, report_meta
from services.query.credits import Dimension, credit_columns, credit_sums, credits_by_model, shown_part, unfolded
from services.query.numbers import money
from services.query.report_rows import ROW_LIMIT, WHOLE_RANGE, PartSql, ReportRow, part_of, union
from services.query.sql import Statement, Table, but_bots, source, statement, within
from services.query.times import TimeRange

CREDITS: Final = "credits"


@dataclass(frozen=True)
class AttributionQuery:
    dimension: Dimension
    models: tuple[Model, ...]
    counted: Counted
    time_range: TimeRange = field(default_factory=TimeRange)
    include_bots: bool = False


def attribution_rows(app_id: str, wanted: AttributionQuery) -> Statement[ReportRow]:
    in_range = [*within("converted_at_ms", wanted.time_range), *but_bots(wanted.include_bots)]
    conditions = [*wanted.counted.conditions(), *in_range]
    rows = source(Table.ATTRIBUTIONS, conditions)
    credits = PartSql(
        CREDITS,
        unfolded(
            f"(SELECT {WHOLE_RANGE}, {credit_columns(wanted.dimension, wanted.models)} FROM {rows})",
            wanted.models,
        ),
        credit_sums(wanted.models),
    )
    conversions = by_goal_part(source(Table.ATTRIBUTIONS, [*wanted.counted.asked(), *in_range]))
    return statement(ReportRow, app_id, union((credits, conversions)), conditions, row_limit=ROW_LIMIT)


def attribution_report(wanted: AttributionQuery, rows: list[ReportRow], meta: Meta) -> AttributionReport:
    """Build the report; items in the order of the first model's credit, greatest first."""
    currency, goals = wanted.counted.currency, by_goal(goal_sums(rows), wanted.counted)
    credits = shown_part(part_of(rows, CREDITS), wanted.models)
    counted = [row for row in goals if row["is_counted"]]
    items: list[AttributionItem] = [
        {"key": key or None, "models": credits_by_model(numbers, wanted.models, currency)}
        for (_, key), numbers in credits.numbers.items()
    ]
    first = wanted.models[0].value
    items.sort(key=lambda item: (-item["models"][first]["credited_conversions"], item["key"] or ""))
    return {
        "dimension": wanted.dimension.value,
        "items": items,
        "totals": {
            "conversions": sum(row["conversions"] for row in counted),
            "value": sum((row["value"] for row in counted), money(0, currency)),
            "refunded": sum((row["refunded"] for row in counted), money(0, currency)),
            "models": credits_by_model(credits.totals, wanted.models, currency),
        },
        "by_goal": goals,
        "meta": report_meta(meta, wanted.counted, goals),
    }
