"""Paths to conversion: the most frequent, as a table and a Sankey; and a funnel of events."""

import itertools
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from services.console.charts.bars import Step, funnel
from services.console.charts.sankey import Words, sankey
from services.console.page import Page
from services.console.report_page import CONVERSION, key_name, render_report, report_filters
from services.console.visitor import OfApp

router = APIRouter()
MAX_STEPS: Final = 8
_DEFAULT_STEPS: Final = ("page_view", "add_to_cart", "purchase")
_HOURS: Final = (1, 24, 72, 168, 720)


@router.get("/apps/{app_id}/paths")
async def show_paths(page: OfApp) -> Response:
    filters = report_filters(page)
    report = await page.read(CONVERSION, filters.parameters())
    totals = report["totals"]
    known = sum(path["conversions"] for path in totals["top_paths"])
    rest = totals["conversions"] - known
    values = {"report": report, "totals": totals, "rest": rest, "chart": _sankey(page, totals["top_paths"], rest)}
    return render_report(page, "paths.html", filters, report["meta"], (CONVERSION, filters.parameters()), **values)


def _sankey(page: Page, paths: list[dict[str, Any]], rest: int) -> str:
    """Draw all conversions: the paths that are listed, and one way for all others."""
    weights = {tuple(key_name(page, "channel", name) for name in path["channels"]): 0.0 for path in paths}
    for path in paths:
        weights[tuple(key_name(page, "channel", name) for name in path["channels"])] += path["conversions"]
    if rest:
        weights[(page.text("Other paths"),)] = float(rest)
    words = Words(page.text("others ({n})"), page.text("Conversion"))
    description = page.text("The same numbers stand in the table below.")
    return sankey(page.text("Paths to conversion"), description, weights, words) if weights else ""


@router.get("/apps/{app_id}/funnel")
async def show_funnel(page: OfApp) -> Response:
    filters, given = report_filters(page), page.request.query_params
    steps = [step for step in given.getlist("step") if step][:MAX_STEPS] or list(_DEFAULT_STEPS)
    hours = given.get("hours", "168")
    stopped_after = given.get("stopped_after", "")
    asked = filters.parameters() | {"steps": ",".join(steps), "within_hours": hours, "by_channel": "true"}
    if stopped_after in map(str, range(1, len(steps))):
        asked["stopped_after"] = int(stopped_after)
    report = await page.read(CONVERSION, asked)
    found = report["funnel"]["steps"]
    values = {
        "steps": steps,
        "hours": hours,
        "hour_choices": _HOURS,
        "max_steps": MAX_STEPS,
        "found": found,
        "by_channel": report["funnel"]["by_channel"],
        "stopped": report["funnel"]["stopped"],
        "stopped_after": asked.get("stopped_after"),
        "lost": [before["users"] - after["users"] for before, after in itertools.pairwise(found)],
        "chart": _funnel(page, found),
    }
    return render_report(page, "funnel.html", filters, report["meta"], (CONVERSION, asked), **values)


def _funnel(page: Page, found: list[dict[str, Any]]) -> str:
    formats = page.formats
    steps = [
        Step(
            one["event_name"],
            float(one["users"]),
            f"{formats.number(one['users'])} · {formats.share(one['rate'])}",
        )
        for one in found
    ]
    return funnel(page.text("Funnel"), page.text("The same numbers stand in the table below."), steps)
