"""The statement of the performance report. Pure.

Touches count at their own time; sessions at their start; conversions at their own time, under the channel (source, …)
of the session they happened in; credit at the conversion's time, under the channel of the credited touch. Conversions
and credit are counted from the same rows, those of the attributions, so both add up to the same number, whatever else
has been loaded; a conversion whose session cannot be read (yet) counts under none. A day's cost counts on its date,
whatever zone the report is in: a calendar day is no instant. All of them count what `Counted` says; what it leaves out
is summed by goal and currency in parts of its own.
"""

from dataclasses import dataclass
from typing import Any, Final

from schemas.facts import Model, TouchType
from services.query.aggregates.counted_conversions import IN_CURRENCY, Counted, by_goal_part
from services.query.aggregates.credit_sums import OF_TOUCHES, Dimension, credit_columns, credit_sums, unfolded
from services.query.aggregates.left_out_touches import LeftOut, without
from services.query.aggregates.report_parts import ROW_LIMIT, WHOLE_RANGE, PartSql, ReportRow, union
from services.query.aggregates.touch_contents import by_content, content_conditions
from services.query.core.sql import Condition, Statement, Table, but_bots, source, statement, within
from services.query.core.times import ALL_TIME, Shift, TimeRange, shift_of
from services.query.costs.statements import COST_AT_MS, STANDING_COSTS
from services.query.identity.sessions import LONGEST_SESSION_MS
from services.query.reports.performance.periods import Granularity, period_sql, zone_parameters

TOUCHES: Final = "touches"
SESSIONS: Final = "sessions"
CONVERSIONS: Final = "conversions"
CREDITS: Final = "credits"
COSTS: Final = "costs"
SPEND: Final = "spend"
"""Costs by currency."""
COSTED_DIMENSIONS: Final = frozenset({Dimension.CHANNEL, Dimension.SOURCE, Dimension.CAMPAIGN})


@dataclass(frozen=True)
class PerformanceQuery:
    dimension: Dimension
    models: tuple[Model, ...]
    counted: Counted
    zone: str
    granularity: Granularity | None = None
    time_range: TimeRange = ALL_TIME
    has_previous: bool = False
    """True if the period before is read too; the period then has both ends (`Shift`)."""
    include_bots: bool = False
    narrowed: tuple[tuple[Dimension, str], ...] = ()
    """Values of other dimensions that all that is counted must have: a report of one channel's sources, say."""
    left_out: tuple[LeftOut, ...] = ()
    """Kinds of touches that get no credit here. They are counted as touches all the same."""

    @property
    def currency(self) -> str:
        return self.counted.currency

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
    conditions = [
        *wanted.counted.conditions(),
        *within("at_ms", wanted.read_range),
        *_possible_sessions(wanted),
        *_before_last_end(wanted),
        *(content_conditions(wanted.read_range) if wanted.dimension is Dimension.CONTENT else ()),
    ]
    parts = (
        _touches(wanted),
        _sessions(wanted),
        _conversions(wanted),
        _credits(wanted),
        _costs(wanted),
        _by_goal(wanted),
        _spend(wanted),
    )
    bound: dict[str, Any] = {"cost_zone": wanted.zone, "row_limit": ROW_LIMIT}
    bound |= {f"in_{dimension}": value for dimension, value in wanted.narrowed}
    if wanted.has_previous:
        bound["split_ms"] = wanted.time_range.from_ms
    return statement(
        ReportRow, app_id, union(parts), conditions, **bound, **zone_parameters(wanted.granularity, wanted.zone)
    )


def _within(column: str, wanted: PerformanceQuery) -> list[Condition]:
    """Return the conditions of the range. Every part has the same range, so they share its parameters."""
    return within(column, wanted.read_range)


def _narrowed(wanted: PerformanceQuery) -> list[Condition]:
    """Return the conditions on columns of touches and sessions; `performance_rows` gives the parameters."""
    return [Condition(f"{dimension} = {{in_{dimension}:String}}") for dimension, _ in wanted.narrowed]


def _now(column: str, wanted: PerformanceQuery) -> list[Condition]:
    """Return the conditions of the period itself, not in the one it is compared with."""
    later = [Condition(f"{column} >= {{split_ms:Int64}}")] if wanted.has_previous else []
    return [*_within(column, wanted), *later]


def _place(column: str, wanted: PerformanceQuery) -> str:
    is_previous = f"{column} < {{split_ms:Int64}}" if wanted.has_previous else "false"
    return f"toBool({is_previous}) AS is_previous, {period_sql(column, wanted.granularity)} AS period"


def _by_goal(wanted: PerformanceQuery) -> PartSql:
    found = [*wanted.counted.asked(), *_now("converted_at_ms", wanted), *but_bots(wanted.include_bots)]
    return by_goal_part(source(Table.ATTRIBUTIONS, found))


def _touches(wanted: PerformanceQuery) -> PartSql:
    rows = source(
        Table.NARROW_TOUCHES, [*_within("touched_at_ms", wanted), *_narrowed(wanted), *but_bots(wanted.include_bots)]
    )
    key = "touch_hash" if wanted.dimension is Dimension.CONTENT else wanted.dimension.value
    return PartSql(
        TOUCHES,
        _keyed(f"SELECT {_place('touched_at_ms', wanted)}, {key} AS key, touch_type FROM {rows}", wanted),
        ("count()", f"countIf(touch_type = '{TouchType.CLICK}')", f"countIf(touch_type = '{TouchType.IMPRESSION}')"),
    )


def _keyed(rows: str, wanted: PerformanceQuery) -> str:
    """Give rows of touches the dimension's value as `key`."""
    return by_content(rows, wanted.read_range) if wanted.dimension is Dimension.CONTENT else rows


def _sessions(wanted: PerformanceQuery) -> PartSql:
    """Select the sessions with an arrival: the others have no channel."""
    conditions = [
        *_within("start_ms", wanted),
        Condition("channel != ''"),
        *_narrowed(wanted),
        *but_bots(wanted.include_bots),
    ]
    rows = source(Table.NARROW_SESSIONS, conditions)
    return PartSql(
        SESSIONS,
        f"SELECT {_place('start_ms', wanted)}, {_session_key(wanted.dimension)} AS key, person_hash,"
        f" {_has_converted(wanted)} AS has_converted FROM {rows}",
        ("count()", "countIf(has_converted)"),
        distinct="person_hash",
    )


def _has_converted(wanted: PerformanceQuery) -> str:
    """Return the condition that a session holds a counted conversion. The session's own number is of all of them."""
    start = within("converted_at_ms", TimeRange(from_ms=wanted.read_range.from_ms))
    of_sessions = [*wanted.counted.conditions(), *start, *_before_last_end(wanted), *but_bots(wanted.include_bots)]
    return f"session_hash IN (SELECT session_hash FROM {source(Table.CONVERSIONS, of_sessions)})"


def _before_last_end(wanted: PerformanceQuery) -> list[Condition]:
    """Select the conversions that can have happened in sessions which begin in the range."""
    to_ms = wanted.read_range.to_ms
    if to_ms is None:
        return []
    return [Condition("converted_at_ms < {last_end_ms:Int64}", {"last_end_ms": to_ms + LONGEST_SESSION_MS})]


def _of_conversions(table: Table, wanted: PerformanceQuery) -> str:
    found = [*wanted.counted.conditions(), *_within("converted_at_ms", wanted), *but_bots(wanted.include_bots)]
    return source(table, found)


def _conversions(wanted: PerformanceQuery) -> PartSql:
    place = _place("converted_at_ms", wanted)
    return PartSql(
        CONVERSIONS,
        f"""SELECT is_previous, period, key, value_minor, refunded_minor
FROM
(
    SELECT session_hash, {_session_key(wanted.dimension)} AS key, true AS is_in
    FROM {source(Table.NARROW_SESSIONS, [*_possible_sessions(wanted), *_narrowed(wanted)])}
) AS of_sessions
RIGHT ANY JOIN
(
    SELECT {place}, value_minor, refunded_minor, session_hash
    FROM
    (
        SELECT conversion_hash, converted_at_ms, value_minor, refunded_minor
        FROM {_of_conversions(Table.ATTRIBUTIONS, wanted)}
    ) AS attributed
    LEFT ANY JOIN
    (
        SELECT conversion_hash, session_hash FROM {_of_conversions(Table.CONVERSIONS, wanted)}
    ) AS converted USING (conversion_hash)
) AS facts USING (session_hash){" WHERE is_in" if wanted.narrowed else ""}""",
        ("count()", "sum(value_minor)", "sum(refunded_minor)"),
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
    """Return the key of a session. By a dimension of touches it counts in the totals alone."""
    return "materialize('')" if dimension in OF_TOUCHES else dimension.value


def _credits(wanted: PerformanceQuery) -> PartSql:
    narrowed_by = [dimension for dimension, _ in wanted.narrowed]
    columns = f"{_place('converted_at_ms', wanted)}, {credit_columns(wanted.dimension, wanted.models, narrowed_by)}"
    rows = without(_of_conversions(Table.ATTRIBUTIONS, wanted), wanted.left_out, wanted.models)
    touches = unfolded(f"(SELECT {columns} FROM {rows})", wanted.models, narrowed_by)
    return PartSql(CREDITS, _keyed(touches, wanted), credit_sums(wanted.models))


def _costs(wanted: PerformanceQuery) -> PartSql:
    key = wanted.dimension.value if wanted.dimension in COSTED_DIMENSIONS else "materialize('')"
    has_them = all(dimension in COSTED_DIMENSIONS for dimension, _ in wanted.narrowed)
    of_place = _narrowed(wanted) if has_them else [Condition("false")]
    rows = _standing_costs(key, [*_within("at_ms", wanted), IN_CURRENCY], of_place)
    return PartSql(COSTS, f"SELECT {_place('at_ms', wanted)}, key, cost_minor FROM {rows}", ("sum(cost_minor)",))


def _spend(wanted: PerformanceQuery) -> PartSql:
    rows = _standing_costs("currency", _now("at_ms", wanted))
    return PartSql(SPEND, f"SELECT {WHOLE_RANGE}, key, cost_minor FROM {rows}", ("sum(cost_minor)",))


def _standing_costs(key: str, conditions: list[Condition], of_place: list[Condition] | None = None) -> str:
    where, place = _all(conditions), _all(of_place or [])
    costs = f"SELECT {COST_AT_MS} AS at_ms, {key} AS key, cost_minor, currency FROM ({STANDING_COSTS}) WHERE {place}"
    return f"(SELECT * FROM ({costs}) WHERE {where})"


def _all(conditions: list[Condition]) -> str:
    return " AND ".join(["1", *(condition.sql for condition in conditions)])
