"""Statements of attribution: credit per value of a dimension, and what is known of one conversion. Pure."""

from dataclasses import dataclass
from typing import Final

import msgspec

from schemas.facts import AttributionRow, Model
from services.query.aggregates.counted_conversions import Counted, by_goal_part
from services.query.aggregates.credit_sums import Dimension, credit_columns, credit_sums, unfolded
from services.query.aggregates.report_parts import ROW_LIMIT, WHOLE_RANGE, PartSql, ReportRow, union
from services.query.aggregates.touch_contents import by_content, content_conditions
from services.query.conversions.statements import ConversionFact
from services.query.core.sql import Condition, Statement, Table, but_bots, columns, equals, source, statement, within
from services.query.core.times import ALL_TIME, TimeRange
from services.query.touches.statements import TouchFact

CREDITS: Final = "credits"


@dataclass(frozen=True)
class AttributionQuery:
    dimension: Dimension
    models: tuple[Model, ...]
    counted: Counted
    time_range: TimeRange = ALL_TIME
    include_bots: bool = False


def attribution_rows(app_id: str, wanted: AttributionQuery) -> Statement[ReportRow]:
    in_range = [*within("converted_at_ms", wanted.time_range), *but_bots(wanted.include_bots)]
    conditions = [*wanted.counted.conditions(), *in_range]
    columns_of_credit = f"{WHOLE_RANGE}, {credit_columns(wanted.dimension, wanted.models)}"
    touches = unfolded(f"(SELECT {columns_of_credit} FROM {source(Table.ATTRIBUTIONS, conditions)})", wanted.models)
    if wanted.dimension is Dimension.CONTENT:
        conditions += content_conditions(wanted.time_range)
        touches = by_content(touches, wanted.time_range)
    credits = PartSql(CREDITS, touches, credit_sums(wanted.models))
    conversions = by_goal_part(source(Table.ATTRIBUTIONS, [*wanted.counted.asked(), *in_range]))
    return statement(ReportRow, app_id, union((credits, conversions)), conditions, row_limit=ROW_LIMIT)


MAX_TOUCHES_SHOWN: Final = 1_000
"""Maximum number of touches shown of a person before a conversion, the newest."""
MAX_REVISIONS_SHOWN: Final = 1_000


class RevisionFact(msgspec.Struct):
    revision: int
    supersedes: int
    reason: str
    config_version: int
    value_minor: int
    refunded_minor: int
    touch_ids: list[str]
    is_taken_back: bool
    stored_at_ms: int


def find_attribution(app_id: str, conversion_id: str) -> Statement[AttributionRow]:
    conditions = equals("conversion_id", conversion_id)
    sql = f"SELECT {columns(AttributionRow)} FROM {source(Table.ATTRIBUTIONS, conditions)} LIMIT 1"
    return statement(AttributionRow, app_id, sql, conditions)


def touches_before(app_id: str, conversion: ConversionFact) -> Statement[TouchFact]:
    """Return the person's touches up to the conversion, newest first."""
    conditions = [
        *equals("person_key", conversion.person_key),
        Condition("touched_at_ms <= {converted_at_ms:Int64}", {"converted_at_ms": conversion.converted_at_ms}),
    ]
    sql = (
        f"SELECT {columns(TouchFact)} FROM {source(Table.TOUCHES, conditions)}"
        f" ORDER BY touched_at_ms DESC, touch_id DESC LIMIT {MAX_TOUCHES_SHOWN}"
    )
    return statement(TouchFact, app_id, sql, conditions)


def revisions_of(app_id: str, conversion_id: str) -> Statement[RevisionFact]:
    """Return the revisions, oldest first."""
    conditions = equals("conversion_id", conversion_id)
    sql = (
        f"SELECT {columns(RevisionFact)} FROM {source(Table.ATTRIBUTION_REVISIONS, conditions)}"
        f" ORDER BY revision LIMIT {MAX_REVISIONS_SHOWN}"
    )
    return statement(RevisionFact, app_id, sql, conditions)
