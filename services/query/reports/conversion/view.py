"""Rows of the conversion report as its answer. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from schemas.control import Goal
from services.query.aggregates.counted_conversions import GoalSum, by_goal, report_meta
from services.query.core.answers import Meta
from services.query.core.numbers import money, rate
from services.query.reports.conversion.answers import (
    ChannelCount,
    ConversionNumbers,
    ConversionReport,
    Funnel,
    GoalItem,
    TopPath,
)
from services.query.reports.conversion.statements import (
    _BESIDE,
    _GOALS,
    _PATHS,
    _PEOPLE,
    ConversionQuery,
    ConversionRow,
)

_MILLISECOND: Final = Decimal("0.001")


def conversion_report(
    wanted: ConversionQuery,
    goals: Iterable[Goal],
    rows: list[ConversionRow],
    funnel: Funnel | None,
    meta: Meta,
) -> ConversionReport:
    """Build the report. `goals`: those of the app; each that is asked for has an item, with or without conversions, and
    so has a goal it used to have.
    """
    asked_goals = wanted.counted.asked_goals
    known = {goal.name: goal for goal in goals if not asked_goals or goal.name in asked_goals}
    found = {row.goal: row for row in rows if row.part == _GOALS and not row.is_total}
    paths = _paths(rows)
    active = next((row.user_count for row in rows if row.part == _PEOPLE), 0)
    items: list[GoalItem] = []
    for name in sorted(known.keys() | found.keys()):
        row, goal = found.get(name), known.get(name)
        items.append(
            {
                "goal": name,
                "display_name": goal.display_name if goal else name,
                "goal_type": goal.goal_type if goal else (row.newest_goal_type if row else ""),
                "is_counted": wanted.counted.has_goal(name),
                **_numbers(wanted, row, paths[name], active),
            }
        )
    total = next((row for row in rows if row.part == _GOALS and row.is_total), None)
    sums = by_goal((_goal_sum(row) for row in rows if row.part == _BESIDE), wanted.counted)
    return {
        "items": items,
        "totals": _numbers(wanted, total, paths[None], active),
        "active_users": active,
        "funnel": funnel,
        "by_goal": sums,
        "meta": report_meta(meta, wanted.counted, sums),
    }


def _paths(rows: list[ConversionRow]) -> defaultdict[str | None, list[ConversionRow]]:
    """Return the paths of each goal; None: of all together."""
    found: defaultdict[str | None, list[ConversionRow]] = defaultdict(list)
    for row in rows:
        if row.part == _PATHS:
            found[None if row.is_total else row.goal].append(row)
    return found


def _goal_sum(row: ConversionRow) -> GoalSum:
    return GoalSum(row.goal, row.currency, row.conversion_count, row.total_minor, row.total_refunded_minor)


def _numbers(
    wanted: ConversionQuery, row: ConversionRow | None, paths: list[ConversionRow], active: int
) -> ConversionNumbers:
    p50, p90 = (_seconds(quantile) for quantile in (row.quantiles_ms if row else [None, None]))
    return {
        "conversions": row.conversion_count if row else 0,
        "users": row.user_count if row else 0,
        "value": money(row.total_minor if row else 0, wanted.counted.currency),
        "refunded": money(row.total_refunded_minor if row else 0, wanted.counted.currency),
        "conversion_rate": rate(row.user_count if row else 0, active),
        "time_to_convert": {"p50_seconds": p50, "p90_seconds": p90},
        "path_lengths": [
            {"touches": length, "conversions": count} for length, count in sorted(row.lengths.items() if row else [])
        ],
        "first_channels": _channels(row.firsts if row else {}),
        "last_channels": _channels(row.lasts if row else {}),
        "top_paths": [_top_path(path, wanted.counted.currency) for path in paths],
    }


def _seconds(quantile_ms: float | None) -> Decimal | None:
    """Convert to seconds, to the millisecond."""
    if quantile_ms is None:
        return None
    return (Decimal(str(quantile_ms)) / 1000).quantize(_MILLISECOND, ROUND_HALF_EVEN)


def _channels(counts: dict[str, int]) -> list[ChannelCount]:
    """Return the channels, most frequent first."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"channel": channel, "conversions": count} for channel, count in ordered]


def _top_path(path: ConversionRow, currency: str) -> TopPath:
    return {
        "channels": path.path,
        "conversions": path.conversion_count,
        "value": money(path.total_minor, currency),
    }
