"""The statement of the performance report. Pure.

Touches count at their own time; sessions at their start; conversions at their own time, under the channel (source, …)
of the session they happened in; credit at the conversion's time, under the channel of the credited touch. Conversions
and credit are counted from the same rows, those of the attributions, so both add up to the same number, whatever else
has been loaded; a conversion whose session cannot be read (yet) counts under none. A day's cost counts on its date,
whatever zone the report is in: a calendar day is no instant.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from schemas.facts import Model, TouchType
from services.query.credits import Dimension, credit_columns, credit_sums, unfolded
from services.query.periods import Granularity, period_sql, zone_parameters
from services.query.report_rows import ROW_LIMIT, PartSql, ReportRow, union
from services.query.sql import Condition, Statement, Table, but_bots, one_of, source, statement, within
from services.query.times import Shift, TimeRange, shift_of

TOUCHES: Final = "touches"
SESSIONS: Final = "sessions"
CONVERSIONS: Final = "conversions"
CREDITS: Final = "credits"
COSTS: Final = "costs"
LONGEST_SESSION_MS: Final = 48 * 3600 * 1000
"""Sessions last 24 h at most; a conversion's session began no earlier than this before it."""
_COST_AT_MS: Final = "toInt64(toUnixTimestamp(toDateTime(date, {cost_zone:String}))) * 1000"
STANDING_COSTS: Final = f"""SELECT * FROM
(
    SELECT *, max(if(is_marker, revision, 0)) OVER (PARTITION BY date, source) AS imported_anew
    FROM {source(Table.COSTS)}
) WHERE NOT is_marker AND revision >= imported_anew"""
"""Imported costs that are valid: of the newest import of their day and source."""
COSTED_DIMENSIONS: Final = frozenset({Dimension.CHANNEL, Dimension.SOURCE, Dimension.CAMPAIGN})


@dataclass(frozen=True)
class PerformanceQuery:
    dimension: Dimension
    models: tuple[Model, ...]
    currency: str
    zone: str
    granularity: Granularity | None = None
    goals: tuple[str, ...] = ()
    time_range: TimeRange = field(default_factory=TimeRange)
    has_previous: bool = False
    """True if the period before is read too; the period then has both ends (`times.Shift`)."""
    include_bots: bool = False

    @property
    def shift(self) -> Shift:
        return shift_of(self.time_range, self.zone)

    @property
    def read_range(self) -> TimeRange:
        """Return the range to read."""
        start_ms = self.time_range.from_ms
        if not self.has_previous or start_ms is None:
            return self.time_range
        return TimeRange(self.shift.before_ms(start_ms), self.time_range.to_ms)


def performance_rows(app_id: str, wanted: PerformanceQuery) -> Statement[ReportRow]:
    conditions = [*one_of("goal", wanted.goals), *within("at_ms", wanted.read_range), *_possible_sessions(wanted)]
    parts = (_touches(wanted), _sessions(wanted), _conversions(wanted), _credits(wanted), _costs(wanted))
    bound: dict[str, Any] = {"currency": wanted.currency, "cost_zone": wanted.zone, "row_limit": ROW_LIMIT}
    if wanted.has_previous:
        bound["split_ms"] = wanted.time_range.from_ms
    return statement(
        ReportRow, app_id, union(parts), conditions, **bound, **zone_parameters(wanted.granularity, wanted.zone)
    )


def _within(column: str, wanted: PerformanceQuery) -> list[Condition]:
    """Return the conditions of the range. Every part has the same range, so they share its parameters."""
    return within(column, wanted.read_range)


def _place(column: str, wanted: PerformanceQuery) -> str:
    is_previous = f"{column} < {{split_ms:Int64}}" if wanted.has_previous else "false"
    return f"toBool({is_previous}) AS is_previous, {period_sql(column, wanted.granularity)} AS period"


def _touches(wanted: PerformanceQuery) -> PartSql:
    rows = source(Table.NARROW_TOUCHES, [*_within("touched_at_ms", wanted), *but_bots(wanted.include_bots)])
    return PartSql(
        TOUCHES,
        f"SELECT {_place('touched_at_ms', wanted)}, {wanted.dimension} AS key, touch_type FROM {rows}",
        ("count()", f"countIf(touch_type = '{TouchType.CLICK}')", f"countIf(touch_type = '{TouchType.IMPRESSION}')"),
    )


def _sessions(wanted: PerformanceQuery) -> PartSql:
    """Select visits: a session without a channel is none."""
    visits = [*_within("start_ms", wanted), Condition("channel != ''"), *but_bots(wanted.include_bots)]
    rows = source(Table.NARROW_SESSIONS, visits)
    return PartSql(
        SESSIONS,
        f"SELECT {_place('start_ms', wanted)}, {_session_key(wanted.dimension)} AS key, person_hash,"
        f" {_has_converted(wanted)} AS has_converted FROM {rows}",
        ("count()", "countIf(has_converted)"),
        distinct="person_hash",
    )


def _has_converted(wanted: PerformanceQuery) -> str:
    """Return the condition that a session holds a conversion: of any goal, or of the goals asked for."""
    if not wanted.goals:
        return "conversions > 0"
    of_goals = [*one_of("goal", wanted.goals), *but_bots(wanted.include_bots)]
    return f"session_hash IN (SELECT session_hash FROM {source(Table.CONVERSIONS, of_goals)})"


def _of_conversions(table: Table, wanted: PerformanceQuery) -> str:
    found = [*one_of("goal", wanted.goals), *_within("converted_at_ms", wanted), *but_bots(wanted.include_bots)]
    return source(table, found)


def _conversions(wanted: PerformanceQuery) -> PartSql:
    place = _place("converted_at_ms", wanted)
    return PartSql(
        CONVERSIONS,
        f"""SELECT is_previous, period, key, value_minor, refunded_minor, currency
FROM
(
    SELECT session_hash, {_session_key(wanted.dimension)} AS key
    FROM {source(Table.NARROW_SESSIONS, _possible_sessions(wanted))}
) AS visited
RIGHT ANY JOIN
(
    SELECT {place}, value_minor, refunded_minor, currency, session_hash
    FROM
    (
        SELECT conversion_hash, converted_at_ms, value_minor, refunded_minor, currency
        FROM {_of_conversions(Table.ATTRIBUTIONS, wanted)}
    ) AS attributed
    LEFT ANY JOIN
    (
        SELECT conversion_hash, session_hash FROM {_of_conversions(Table.CONVERSIONS, wanted)}
    ) AS converted USING (conversion_hash)
) AS facts USING (session_hash)""",
        (
            "count()",
            "sumIf(value_minor, currency = {currency:String})",
            "sumIf(refunded_minor, currency = {currency:String})",
        ),
        currency="currency",
    )


def _possible_sessions(wanted: PerformanceQuery) -> list[Condition]:
    """Select the sessions a conversion in the range can have happened in."""
    found = []
    read = wanted.read_range
    if read.from_ms is not None:
        earliest = read.from_ms - LONGEST_SESSION_MS
        found.append(Condition("start_ms >= {earliest_start_ms:Int64}", {"earliest_start_ms": earliest}))
    if read.to_ms is not None:
        found.append(Condition("start_ms < {latest_start_ms:Int64}", {"latest_start_ms": read.to_ms}))
    return found


def _session_key(dimension: Dimension) -> str:
    """Return the key of a session. It has no touch type: it counts in the totals alone."""
    return "materialize('')" if dimension is Dimension.TOUCH_TYPE else dimension.value


def _credits(wanted: PerformanceQuery) -> PartSql:
    columns = f"{_place('converted_at_ms', wanted)}, currency, {credit_columns(wanted.dimension, wanted.models)}"
    return PartSql(
        CREDITS,
        unfolded(f"(SELECT {columns} FROM {_of_conversions(Table.ATTRIBUTIONS, wanted)})", wanted.models),
        credit_sums(wanted.models),
    )


def _costs(wanted: PerformanceQuery) -> PartSql:
    key = wanted.dimension.value if wanted.dimension in COSTED_DIMENSIONS else "materialize('')"
    return PartSql(
        COSTS,
        f"""SELECT {_place("at_ms", wanted)}, key, cost_minor, currency
FROM (SELECT {_COST_AT_MS} AS at_ms, {key} AS key, cost_minor, currency FROM ({STANDING_COSTS}))
WHERE {" AND ".join(["1", *(condition.sql for condition in _within("at_ms", wanted))])}""",
        ("sumIf(cost_minor, currency = {currency:String})", "countIf(currency = {currency:String})"),
        currency="currency",
    )
