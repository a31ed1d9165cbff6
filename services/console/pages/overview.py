"""Overview: the numbers of a period beside those of the one before, over time, and by channel."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from services.console.charts.bars import bar
from services.console.charts.lines import Series, line_chart, sparkline
from services.console.page import Page
from services.console.report_page import PERFORMANCE, render_report, report_filters
from services.console.visitor import OfApp

router = APIRouter()
Sums = dict[str, Decimal]
_TOP = 8
_ALERTS = 5
_MAX_DAYS = 1_000


@router.get("/apps/{app_id}/overview")
async def show_overview(page: OfApp) -> Response:
    filters = report_filters(page)
    asked = filters.parameters() | {"dimension": "channel", "model": filters.model, "compare": "previous_period"}
    whole, by_day, alerts = await asyncio.gather(
        page.read(PERFORMANCE, asked),
        page.read(PERFORMANCE, asked | {"granularity": "day"}),
        page.read("/v1/alerts", {"limit": _ALERTS}),
    )
    ledger = await page.console.ledgers.of(page.app_id)  # last: the count that it may start slows no read
    if not whole["totals"]["sessions"] and not (await page.read("/v1/events", {"limit": 1}))["items"]:
        return page.render("overview_empty.html")
    daily, earlier = by_period(by_day["items"]), by_period(by_day["previous"]["items"])
    days = [(day, daily.get(day, _NOTHING)) for day in days_of(whole["meta"])]
    before = [earlier.get(day, _NOTHING) for day in days_of(whole["previous"])]
    values = {
        "totals": whole["totals"],
        "previous": whole["previous"]["totals"],
        "change": whole["change"],
        "ratios": ratios_of(whole["totals"]),
        "earlier_ratios": ratios_of(whole["previous"]["totals"]),
        "items": whole["items"][:_TOP],
        "bars": [
            bar(float(_credit(item, filters.model)), _highest(whole["items"], filters.model)) for item in whole["items"]
        ],
        "alerts": alerts["items"],
        "ledger": ledger,
        "chart": _chart(page, days, before),
        "days": days,
        "sparks": {name: sparkline([float(sums[name]) for _, sums in days]) for name in _SUMMED},
    }
    return render_report(page, "overview.html", filters, whole["meta"], (PERFORMANCE, asked), **values)


_SUMMED = ("conversions", "value", "sessions", "touches", "spend")
_NOTHING = dict.fromkeys(_SUMMED, Decimal(0))


def by_period(items: Sequence[dict[str, Any]]) -> dict[str, Sums]:
    """Add up a report's rows of every key: period → name → sum."""
    found: dict[str, Sums] = {}
    for item in items:
        sums = found.setdefault(item["period"][:10], dict(_NOTHING))
        for name in _SUMMED:
            sums[name] += Decimal(item[name] or 0)
    return found


def days_of(period: dict[str, Any]) -> list[str]:
    """Return the days of a period of whole days: `from` inclusive, `to` exclusive, in the report's zone."""
    first, last = date.fromisoformat(period["from"][:10]), datetime.fromisoformat(period["to"]) - timedelta(seconds=1)
    count = min((last.date() - first).days + 1, _MAX_DAYS)
    return [(first + timedelta(days=number)).isoformat() for number in range(count)]


def ratios_of(totals: dict[str, Any]) -> dict[str, Decimal | None]:
    """Cost per conversion, and value per cost; None without costs."""
    spend, conversions, value = totals["spend"], totals["conversions"], totals["value"]
    return {
        "cpa": Decimal(spend) / conversions if spend is not None and conversions else None,
        "roas": Decimal(value) / Decimal(spend) if spend else None,
    }


def _credit(item: dict[str, Any], model: str) -> Decimal:
    return Decimal(item["models"][model]["credited_conversions"])


def _highest(items: Sequence[dict[str, Any]], model: str) -> float:
    return max((float(_credit(item, model)) for item in items), default=0.0)


def _chart(page: Page, days: Sequence[tuple[str, Sums]], before: Sequence[Sums]) -> str:
    labels = [page.formats.short_day(day) for day, _ in days]
    series = [Series(page.text("Conversions"), [float(sums["conversions"]) for _, sums in days])]
    earlier = [float(sums["conversions"]) for sums in before[: len(days)]]
    if any(earlier):
        padded = earlier + [0.0] * (len(days) - len(earlier))
        series.append(Series(page.text("The period before"), padded, is_before=True))
    title = page.text("Conversions by day")
    return line_chart(
        title, page.text("The same numbers stand in the table below."), labels, series, page.formats.short
    )
