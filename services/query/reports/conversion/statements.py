"""The statement of the conversion report: per goal the number, the value, the time to convert, and the paths. Pure."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

import msgspec

from services.query.aggregates.counted_conversions import IN_CURRENCY, Counted
from services.query.aggregates.report_parts import MAX_REPORT_ROWS
from services.query.conversions.statements import EMPTY_PATH_CHANNEL, NET_VALUE
from services.query.core.sql import Condition, Statement, Table, but_bots, source, statement, within
from services.query.core.times import ALL_TIME, TimeRange
from services.query.identity.sessions import LONGEST_SESSION_MS

TOP_PATHS: Final = 10


@dataclass(frozen=True)
class ConversionQuery:
    counted: Counted
    time_range: TimeRange = ALL_TIME
    include_bots: bool = False


class ConversionRow(msgspec.Struct):
    """A row of one of the parts of the report; a part leaves the other parts' columns empty."""

    part: str
    is_total: bool
    goal: str
    newest_goal_type: str
    conversion_count: int
    user_count: int
    total_minor: int
    total_refunded_minor: int
    quantiles_ms: list[float | None]
    """The p50 and p90 of the time from the path's first touch to the conversion; null where no path has a touch."""
    lengths: dict[int, int]
    firsts: dict[str, int]
    lasts: dict[str, int]
    currency: str
    path: list[str]


_GOALS: Final = "goals"
_PATHS: Final = "paths"
_PEOPLE: Final = "people"
_BESIDE: Final = "beside"
_NOTHING: Final = {
    "is_total": "true",
    "goal": "''",
    "newest_goal_type": "''",
    "conversion_count": "0",
    "user_count": "0",
    "total_minor": "0",
    "total_refunded_minor": "0",
    "quantiles_ms": "[]",
    "lengths": "map()",
    "firsts": "map()",
    "lasts": "map()",
    "currency": "''",
    "path": "[]",
}
_TYPES: Final = {
    "is_total": "Bool",
    "goal": "String",
    "newest_goal_type": "String",
    "conversion_count": "Int64",
    "user_count": "Int64",
    "total_minor": "Int64",
    "total_refunded_minor": "Int64",
    "quantiles_ms": "Array(Nullable(Float64))",
    "lengths": "Map(UInt32, UInt64)",
    "firsts": "Map(String, UInt64)",
    "lasts": "Map(String, UInt64)",
    "currency": "String",
    "path": "Array(String)",
}
_PATH: Final = f"if(empty(path_channels), ['{EMPTY_PATH_CHANNEL}'], arrayMap(c -> toString(c), path_channels))"


def conversion_rows(app_id: str, wanted: ConversionQuery) -> Statement[ConversionRow]:
    """Return the statement of all parts, one statement so that they are of one state."""
    in_range = [*within("converted_at_ms", wanted.time_range), *but_bots(wanted.include_bots)]
    conditions, active = [*wanted.counted.asked(), *in_range], _active(wanted)
    rows = _in_currency(wanted.counted, source(Table.CONVERSIONS, [*conditions, IN_CURRENCY]))
    parts = (
        _part(_GOALS, _goal_numbers(rows), all_of=_NOTHING.keys() - {"currency", "path"}),
        _part(_PATHS, _top_paths(rows), all_of={"is_total", "goal", "path", "conversion_count", "total_minor"}),
        _part(_BESIDE, _goal_sums(source(Table.CONVERSIONS, conditions)), all_of=_SUMS),
        _part(
            _PEOPLE,
            f"SELECT uniqExact(person_hash) AS user_count FROM {source(Table.NARROW_SESSIONS, active)}",
            all_of={"user_count"},
        ),
    )
    bound = [*wanted.counted.conditions(), *in_range, *active]
    return statement(ConversionRow, app_id, "\nUNION ALL\n".join(parts), bound, row_limit=MAX_REPORT_ROWS + 2)


def _part(name: str, sql: str, all_of: Set[str]) -> str:
    """Select the columns of `ConversionRow`, of which `all_of` come from `sql`."""
    columns = [
        f"CAST({column if column in all_of else nothing}, '{_TYPES[column]}') AS {column}"
        for column, nothing in _NOTHING.items()
    ]
    return f"SELECT '{name}' AS part, {', '.join(columns)} FROM ({sql})"


def _in_currency(counted: Counted, rows: str) -> str:
    """Select the report currency's conversions: `is_counted` ones make the totals, but every goal has its own."""
    is_counted = " AND ".join(["true", *(condition.sql for condition in counted.goals())])
    return f"""(
    SELECT goal, goal_type, converted_at_ms, person_hash, {NET_VALUE} AS net_minor, refunded_minor, path_touched_at_ms,
        path_channels, {_PATH} AS path, toBool({is_counted}) AS is_counted
    FROM {rows}
)"""


_OF_GOALS_OR_COUNTED: Final = "HAVING grouping(goal) = 0 OR is_counted"


def _goal_numbers(rows: str) -> str:
    """Select each goal's numbers. Quantiles interpolate between neighbours (R-7, as spreadsheets do)."""
    return f"""SELECT grouping(goal) AS is_total, goal,
    argMax(goal_type, converted_at_ms) AS newest_goal_type,
    count() AS conversion_count,
    uniqExact(person_hash) AS user_count,
    sum(net_minor) AS total_minor,
    sum(refunded_minor) AS total_refunded_minor,
    quantilesExactInclusiveIf(0.5, 0.9)(converted_at_ms - path_touched_at_ms[1], notEmpty(path_touched_at_ms))
        AS quantiles_ms,
    sumMap(map(toUInt32(length(path_channels)), toUInt64(1))) AS lengths,
    sumMap(map(path[1], toUInt64(1))) AS firsts,
    sumMap(map(path[-1], toUInt64(1))) AS lasts
FROM {rows}
GROUP BY GROUPING SETS ((goal), (is_counted)) {_OF_GOALS_OR_COUNTED}
ORDER BY is_total DESC, goal
LIMIT {{row_limit:UInt32}}"""


def _top_paths(rows: str) -> str:
    return f"""SELECT grouping(goal) AS is_total, goal, path,
    count() AS conversion_count,
    sum(net_minor) AS total_minor
FROM {rows}
GROUP BY GROUPING SETS ((goal, path), (is_counted, path)) {_OF_GOALS_OR_COUNTED}
ORDER BY is_total DESC, goal, conversion_count DESC, path
LIMIT {TOP_PATHS} BY is_total, goal"""


_SUMS: Final = frozenset({"goal", "currency", "conversion_count", "total_minor", "total_refunded_minor"})


def _goal_sums(rows: str) -> str:
    return f"""SELECT goal, currency, count() AS conversion_count, sum({NET_VALUE}) AS total_minor,
    sum(refunded_minor) AS total_refunded_minor
FROM {rows}
GROUP BY goal, currency
LIMIT {{row_limit:UInt32}}"""


def _active(wanted: ConversionQuery) -> list[Condition]:
    """Select everybody with a session that reaches into the range, so whoever converts in it is among them."""
    conditions = but_bots(wanted.include_bots)
    if wanted.time_range.from_ms is not None:
        conditions.append(Condition("end_ms >= {active_from_ms:Int64}", {"active_from_ms": wanted.time_range.from_ms}))
        earliest_ms = wanted.time_range.from_ms - LONGEST_SESSION_MS
        conditions.append(Condition("start_ms >= {earliest_start_ms:Int64}", {"earliest_start_ms": earliest_ms}))
    if wanted.time_range.to_ms is not None:
        conditions.append(Condition("start_ms < {active_to_ms:Int64}", {"active_to_ms": wanted.time_range.to_ms}))
    return conditions
