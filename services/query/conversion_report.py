"""The conversion report: per goal how many, how much, how fast, and along which paths. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

import msgspec

from schemas.control import Goal
from services.query.answers import ChannelCount, ConversionNumbers, ConversionReport, GoalItem, ReportMeta, TopPath
from services.query.conversions import EMPTY_PATH_CHANNEL, NET_VALUE
from services.query.credits import MAX_REPORT_ROWS
from services.query.numbers import money, rate
from services.query.sql import Condition, Statement, Table, one_of, source, statement, within
from services.query.times import TimeRange

TOP_PATHS: Final = 10
_MILLISECOND: Final = Decimal("0.001")


@dataclass(frozen=True)
class ConversionQuery:
    currency: str
    goals: tuple[str, ...] = ()
    time_range: TimeRange = field(default_factory=TimeRange)


class GoalNumbers(msgspec.Struct):
    is_total: bool
    goal: str
    newest_goal_type: str
    conversion_count: int
    user_count: int
    total_minor: int
    total_refunded_minor: int
    quantiles_ms: list[float | None]
    """p50 and p90 from the path's first touch to the conversion; null where no path has a touch."""
    lengths: dict[int, int]
    firsts: dict[str, int]
    lasts: dict[str, int]
    currencies: list[str]


class PathCount(msgspec.Struct):
    is_total: bool
    goal: str
    path: list[str]
    conversion_count: int
    total_minor: int


class ActiveUsers(msgspec.Struct):
    user_count: int


_PATH: Final = f"if(empty(path_channels), ['{EMPTY_PATH_CHANNEL}'], arrayMap(c -> toString(c), path_channels))"


def goal_numbers(app_id: str, wanted: ConversionQuery) -> Statement[GoalNumbers]:
    """Quantiles interpolate between neighbours (R-7, as spreadsheets do)."""
    conditions = _conditions(wanted)
    sql = f"""SELECT toBool(grouping(goal)) AS is_total, goal,
    argMax(goal_type, converted_at_ms) AS newest_goal_type,
    count() AS conversion_count,
    uniqExact(person_key) AS user_count,
    sumIf({NET_VALUE}, currency = {{currency:String}}) AS total_minor,
    sumIf(refunded_minor, currency = {{currency:String}}) AS total_refunded_minor,
    quantilesExactInclusiveIf(0.5, 0.9)(converted_at_ms - path_touched_at_ms[1], notEmpty(path_touched_at_ms))
        AS quantiles_ms,
    sumMap(map(toUInt32(length(path_channels)), toUInt64(1))) AS lengths,
    sumMap(map({_PATH}[1], toUInt64(1))) AS firsts,
    sumMap(map({_PATH}[-1], toUInt64(1))) AS lasts,
    arraySort(groupUniqArrayIf(currency, currency NOT IN ('', {{currency:String}}))) AS currencies
FROM {source(Table.CONVERSIONS, conditions)}
GROUP BY GROUPING SETS ((goal), ())
ORDER BY is_total DESC, goal
LIMIT {{row_limit:UInt32}}"""
    return statement(GoalNumbers, app_id, sql, conditions, currency=wanted.currency, row_limit=MAX_REPORT_ROWS + 2)


def top_paths(app_id: str, wanted: ConversionQuery) -> Statement[PathCount]:
    conditions = _conditions(wanted)
    sql = f"""SELECT toBool(grouping(goal)) AS is_total, goal, path,
    count() AS conversion_count,
    sumIf(net_minor, currency = {{currency:String}}) AS total_minor
FROM
(
    SELECT goal, {_PATH} AS path, {NET_VALUE} AS net_minor, currency
    FROM {source(Table.CONVERSIONS, conditions)}
)
GROUP BY GROUPING SETS ((goal, path), (path))
ORDER BY is_total DESC, goal, conversion_count DESC, path
LIMIT {TOP_PATHS} BY is_total, goal"""
    return statement(PathCount, app_id, sql, conditions, currency=wanted.currency)


def active_users(app_id: str, wanted: ConversionQuery) -> Statement[ActiveUsers]:
    """Everybody with a session that reaches into the range, so whoever converts in it is among them."""
    conditions = []
    if wanted.time_range.from_ms is not None:
        conditions.append(Condition("end_ms >= {from_ms:Int64}", {"from_ms": wanted.time_range.from_ms}))
    if wanted.time_range.to_ms is not None:
        conditions.append(Condition("start_ms < {to_ms:Int64}", {"to_ms": wanted.time_range.to_ms}))
    sql = f"SELECT uniqExact(person_key) AS user_count FROM {source(Table.SESSIONS, conditions)}"
    return statement(ActiveUsers, app_id, sql, conditions)


def _conditions(wanted: ConversionQuery) -> list[Condition]:
    return [*one_of("goal", wanted.goals), *within("converted_at_ms", wanted.time_range)]


def other_currencies(numbers: list[GoalNumbers]) -> list[str]:
    return next((row.currencies for row in numbers if row.is_total), [])


def conversion_report(
    wanted: ConversionQuery,
    goals: Iterable[Goal],
    numbers: list[GoalNumbers],
    paths: list[PathCount],
    active: int,
    meta: ReportMeta,
) -> ConversionReport:
    """`goals`: those of the app; each has an item, with or without conversions, and so has a goal it used to have."""
    known = {goal.name: goal for goal in goals if not wanted.goals or goal.name in wanted.goals}
    found = {row.goal: row for row in numbers if not row.is_total}
    items: list[GoalItem] = []
    for name in sorted(known.keys() | found.keys()):
        row, goal = found.get(name), known.get(name)
        items.append(
            {
                "goal": name,
                "display_name": goal.display_name if goal else name,
                "goal_type": goal.goal_type if goal else (row.newest_goal_type if row else ""),
                **_numbers(wanted, row, [p for p in paths if not p.is_total and p.goal == name], active),
            }
        )
    total = next((row for row in numbers if row.is_total), None)
    return {
        "items": items,
        "totals": _numbers(wanted, total, [p for p in paths if p.is_total], active),
        "active_users": active,
        "meta": meta,
    }


def _numbers(
    wanted: ConversionQuery, row: GoalNumbers | None, paths: list[PathCount], active: int
) -> ConversionNumbers:
    p50, p90 = (_seconds(quantile) for quantile in (row.quantiles_ms if row else [None, None]))
    return {
        "conversions": row.conversion_count if row else 0,
        "users": row.user_count if row else 0,
        "value": money(row.total_minor if row else 0, wanted.currency),
        "refunded": money(row.total_refunded_minor if row else 0, wanted.currency),
        "conversion_rate": rate(row.user_count if row else 0, active),
        "time_to_convert": {"p50_seconds": p50, "p90_seconds": p90},
        "path_lengths": [
            {"touches": length, "conversions": count} for length, count in sorted(row.lengths.items() if row else [])
        ],
        "first_channels": _channels(row.firsts if row else {}),
        "last_channels": _channels(row.lasts if row else {}),
        "top_paths": [_top_path(path, wanted.currency) for path in paths],
    }


def _seconds(quantile_ms: float | None) -> Decimal | None:
    """To the millisecond."""
    if quantile_ms is None:
        return None
    return (Decimal(str(quantile_ms)) / 1000).quantize(_MILLISECOND, ROUND_HALF_EVEN)


def _channels(counts: dict[str, int]) -> list[ChannelCount]:
    """Most frequent first."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"channel": channel, "conversions": count} for channel, count in ordered]


def _top_path(path: PathCount, currency: str) -> TopPath:
    return {
        "channels": path.path,
        "conversions": path.conversion_count,
        "value": money(path.total_minor, currency),
    }
