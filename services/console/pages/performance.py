"""Performance by channel, source, medium, campaign and content; and all models side by side."""

from decimal import Decimal
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from schemas.facts import Model
from services.console.export_form import fields_of_view
from services.console.report_filters import DIMENSIONS, LEFT_OUT, PLACES
from services.console.report_page import PERFORMANCE, render_report, report_filters
from services.console.visitor import OfApp

router = APIRouter()
COLUMNS: Final = ("sessions", "users", "touches", "credited", "value", "spend", "cpa", "roas", "rate")
MOST_ROWS: Final = 100
MOST_ROWS_OF_MODELS: Final = 50
"""Rows a page shows, so that it stays small: each has a number of every model there. The export has all."""
_MODELS: Final = tuple(model.value for model in Model)


@router.get("/apps/{app_id}/performance")
async def show_performance(page: OfApp) -> Response:
    filters, given = report_filters(page), page.request.query_params
    asked = filters.parameters() | {"dimension": filters.dimension, "model": filters.model}
    place = {name: given[name] for name in PLACES if given.get(name)}
    asked |= {"compare": "previous_period", **place}
    report = await page.read(PERFORMANCE, asked)
    sort = given.get("sort", "credited")
    column = sort.removeprefix("-") if sort.removeprefix("-") in COLUMNS else "credited"
    rows = [row_of(item, filters.model) for item in report["items"]]
    rows.sort(key=lambda row: (row[column] is None, row[column] or 0), reverse=not sort.startswith("-"))
    rows.sort(key=lambda row: row[column] is None)
    values = {
        "rows": rows[:MOST_ROWS],
        "count": len(rows),
        "total": row_of({**report["totals"], "key": None, "change": report["change"]}, filters.model),
        "spend_by_currency": report["spend_by_currency"],
        "place": place,
        "export": fields_of_view(filters, model=filters.model, **place),
        "next": next_dimension(filters.dimension),
        "dimensions": DIMENSIONS,
        "models": _MODELS,
        "sort": sort,
        "column": column,
    }
    return render_report(page, "performance.html", filters, report["meta"], (PERFORMANCE, asked), **values)


def next_dimension(dimension: str) -> str | None:
    """Return the dimension that divides a row further: see `DIMENSIONS`."""
    at = DIMENSIONS.index(dimension) + 1
    return DIMENSIONS[at] if at < len(DIMENSIONS) else None


def row_of(item: dict[str, Any], model: str) -> dict[str, Any]:
    """Return the cells of a row, as the API gives them."""
    credit = item["models"][model]
    change = (item["change"] or {}).get("models", {}).get(model, {}).get("credited_conversions")
    return {
        "key": item["key"],
        "sessions": item["sessions"],
        "users": item["users"],
        "touches": item["touches"],
        "credited": credit["credited_conversions"],
        "value": credit["credited_value"],
        "spend": item["spend"],
        "cpa": credit["cpa"],
        "roas": credit["roas"],
        "rate": item["conversion_rate"],
        "change": change,
    }


@router.get("/apps/{app_id}/models")
async def show_models(page: OfApp) -> Response:
    """Every model's credit for each key, as conversions, value or share, with the difference to a chosen base."""
    filters = report_filters(page)
    left_out = [kind for kind in LEFT_OUT if kind in page.request.query_params.getlist("leave_out")]
    asked = filters.parameters() | {"dimension": filters.dimension, "model": "all", "leave_out": ",".join(left_out)}
    report = await page.read(PERFORMANCE, asked)
    shown = page.request.query_params.get("show", "conversions")
    shown = shown if shown in ("conversions", "value", "share") else "conversions"
    base = page.request.query_params.get("base", "")
    field = "credited_value" if shown == "value" else "credited_conversions"
    totals = {model: report["totals"]["models"][model][field] for model in _MODELS}
    values = {
        "rows": [
            {"key": item["key"], "touches": item["touches"], "cells": cells_of(item, field, base, totals, shown)}
            for item in report["items"][:MOST_ROWS_OF_MODELS]
        ],
        "count": len(report["items"]),
        "totals": totals,
        "are_equal": len(set(totals.values())) == 1,
        "shown": shown,
        "export": fields_of_view(filters, leave_out=asked["leave_out"]),
        "left_out": left_out,
        "base": base if base in _MODELS else "",
        "dimensions": DIMENSIONS,
        "models": _MODELS,
    }
    return render_report(page, "models.html", filters, report["meta"], (PERFORMANCE, asked), **values)


def cells_of(
    item: dict[str, Any], field: str, base: str, totals: dict[str, Any], shown: str
) -> list[tuple[Decimal | None, Decimal | None]]:
    """Return each model's number, and its difference to the base model's as a share of that."""
    found = {model: Decimal(item["models"][model][field]) for model in _MODELS}
    if shown == "share":
        found = {
            model: value / Decimal(totals[model]) if totals[model] else Decimal(0) for model, value in found.items()
        }
    cells: list[tuple[Decimal | None, Decimal | None]] = []
    for model in _MODELS:
        has_base = base in found and base != model and found[base]
        cells.append((found[model], found[model] / found[base] - 1 if has_base else None))
    return cells
