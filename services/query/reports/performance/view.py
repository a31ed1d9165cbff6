"""Rows of the performance report as its answer: touches, sessions, conversions, credit and spend side by side, per
dimension and period, with the change from the period before. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from services.query.aggregates.counted_conversions import by_goal, goal_sums, report_meta
from services.query.aggregates.credit_sums import OF_TOUCHES, credits_by_model, shown_part
from services.query.aggregates.report_parts import Cell, Part, ReportRow, part_of
from services.query.core.answers import Meta
from services.query.core.numbers import cost_per, money, money_by_currency, rate, return_on
from services.query.core.times import local_text, parse_instant, time_in_zone
from services.query.reports.performance.answers import (
    Change,
    ComparedPeriod,
    CostedCredit,
    PerformanceItem,
    PerformanceNumbers,
    PerformanceReport,
)
from services.query.reports.performance.statements import (
    CONVERSIONS,
    COSTED_DIMENSIONS,
    COSTS,
    CREDITS,
    SESSIONS,
    SPEND,
    TOUCHES,
    PerformanceQuery,
)

_PARTS: Final = (TOUCHES, SESSIONS, CONVERSIONS, CREDITS, COSTS)
COMPARED: Final = ("touches", "clicks", "impressions", "sessions", "users", "conversions", "value", "spend")


@dataclass(frozen=True)
class _Found:
    """Numbers of one place or of the totals, part by part; None: the part has none."""

    touches: Sequence[int] | None
    sessions: Sequence[int] | None
    conversions: Sequence[int] | None
    credits: Sequence[int] | None
    costs: Sequence[int] | None


def performance_report(wanted: PerformanceQuery, rows: list[ReportRow], meta: Meta) -> PerformanceReport:
    """Build the report; items by period, then by key as the first model credits them, greatest first."""
    parts = _parts(wanted, rows)
    totals = _totals(wanted, parts)
    items = _items(wanted, parts)
    goals, spend = by_goal(goal_sums(rows), wanted.counted), _spend_by_currency(rows)
    if wanted.has_previous:
        _compare(wanted, items, _items(wanted, _parts(wanted, rows, is_previous=True)))
    report: PerformanceReport = {
        "dimension": wanted.dimension.value,
        "granularity": wanted.granularity.value if wanted.granularity else None,
        "leave_out": [kind.value for kind in wanted.left_out],
        "items": items,
        "totals": totals,
        "previous": None,
        "change": None,
        "by_goal": goals,
        "spend_by_currency": spend,
        "meta": report_meta(meta, wanted.counted, goals, spend),
    }
    if wanted.has_previous:
        previous = _previous(wanted, rows)
        report["previous"] = previous
        report["change"] = _change(totals, previous["totals"])
    return report


def _spend_by_currency(rows: list[ReportRow]) -> dict[str, Decimal]:
    found = part_of(rows, SPEND).numbers.items()
    return money_by_currency({currency: cost_minor for (_, currency), (cost_minor,) in found})


def _parts(wanted: PerformanceQuery, rows: list[ReportRow], is_previous: bool = False) -> dict[str, Part]:
    parts = {name: part_of(rows, name, is_previous) for name in _PARTS}
    return parts | {CREDITS: shown_part(parts[CREDITS], wanted.models)}


def _previous(wanted: PerformanceQuery, rows: list[ReportRow]) -> ComparedPeriod:
    parts = _parts(wanted, rows, is_previous=True)
    start_ms, end_ms = wanted.read_range.from_ms, wanted.time_range.from_ms
    assert start_ms is not None
    assert end_ms is not None
    return {
        "from": time_in_zone(start_ms, wanted.zone),
        "to": time_in_zone(end_ms, wanted.zone),
        "items": _items(wanted, parts),
        "totals": _totals(wanted, parts),
    }


def _items(wanted: PerformanceQuery, parts: dict[str, Part]) -> list[PerformanceItem]:
    items: list[PerformanceItem] = []
    for place in _cells(wanted, parts):
        numbers = _numbers(wanted, _Found(*(parts[name].numbers.get(place) for name in _PARTS)))
        period = local_text(place[0], wanted.zone) if wanted.granularity else None
        items.append({"period": period, "key": place[1] or None, "change": None, **_of_row(wanted, numbers)})
    return items


def _totals(wanted: PerformanceQuery, parts: dict[str, Part]) -> PerformanceNumbers:
    return _numbers(wanted, _Found(*(parts[name].totals for name in _PARTS)))


def _cells(wanted: PerformanceQuery, parts: dict[str, Part]) -> list[Cell]:
    """Return every (period, key) of the answer, in its order."""
    names = [TOUCHES, CREDITS]
    if wanted.dimension not in OF_TOUCHES:
        names += [SESSIONS, CONVERSIONS]
    if wanted.dimension in COSTED_DIMENSIONS:
        names.append(COSTS)
    found = {place for name in names for place in parts[name].numbers}
    credited = parts[CREDITS].numbers
    return sorted(found, key=lambda place: (place[0], -credited.get(place, [0])[0], place[1]))


def _numbers(wanted: PerformanceQuery, found: _Found) -> PerformanceNumbers:
    touches, clicks, impressions = found.touches or (0, 0, 0)
    sessions, converted_sessions, users = found.sessions or (0, 0, 0)
    conversions, value_minor, refunded_minor = found.conversions or (0, 0, 0)
    spend_minor = found.costs[0] if found.costs else None
    return {
        "touches": touches,
        "clicks": clicks,
        "impressions": impressions,
        "sessions": sessions,
        "users": users,
        "conversions": conversions,
        "value": money(value_minor, wanted.currency),
        "refunded": money(refunded_minor, wanted.currency),
        "conversion_rate": rate(converted_sessions, sessions),
        "spend": None if spend_minor is None else money(spend_minor, wanted.currency),
        "models": _costed(wanted, found.credits, spend_minor),
    }


def _costed(
    wanted: PerformanceQuery, credits: Sequence[int] | None, spend_minor: int | None
) -> dict[str, CostedCredit]:
    spend = None if spend_minor is None else money(spend_minor, wanted.currency)
    return {
        model: {
            **credit,
            "cpa": cost_per(spend, credit["credited_conversions"], wanted.currency),
            "roas": return_on(credit["credited_value"], spend),
        }
        for model, credit in credits_by_model(credits, wanted.models, wanted.currency).items()
    }


def _of_row(wanted: PerformanceQuery, numbers: PerformanceNumbers) -> PerformanceNumbers:
    """Remove numbers that a row of this dimension cannot have: sessions and conversions by a dimension of touches,
    costs by one that costs are not given by. The totals have them."""
    if wanted.dimension in OF_TOUCHES:
        numbers |= {"sessions": None, "users": None, "conversions": None, "value": None, "refunded": None}
        numbers["conversion_rate"] = None
    if wanted.dimension not in COSTED_DIMENSIONS:
        numbers["spend"] = None
        for credit in numbers["models"].values():
            credit["cpa"] = credit["roas"] = None
    return numbers


def _compare(wanted: PerformanceQuery, items: list[PerformanceItem], before: list[PerformanceItem]) -> None:
    """Give each row its change from the row of the same key, and the same place in the period before."""
    known = {(item["period"], item["key"]): item for item in before}
    for item in items:
        then = known.get((_period_before(wanted, item["period"]), item["key"]))
        item["change"] = None if then is None else _change(item, then)


def _period_before(wanted: PerformanceQuery, period: str | None) -> str | None:
    if period is None:
        return None
    start_ms = parse_instant(period)
    return local_text(wanted.shift.before_ms(start_ms) // 1000, wanted.zone)


def _change(totals: PerformanceNumbers, before: PerformanceNumbers) -> Change:
    now: Any = totals
    then: Any = before
    change: Any = {name: _relative(now[name], then[name]) for name in COMPARED}
    change["models"] = {
        model: {
            name: _relative(credit[name], then["models"][model][name])
            for name in ("credited_conversions", "credited_value")
        }
        for model, credit in now["models"].items()
    }
    found: Change = change
    return found


def _relative(now: Decimal | int | None, before: Decimal | int | None) -> Decimal | None:
    """Return (now - before) / before; None where that says nothing."""
    return None if now is None or not before else rate(Decimal(now) - Decimal(before), Decimal(before))
