"""Conversions: the list behind a number, and the explanation of one, touch by touch."""

from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from schemas.facts import Model
from services.console import setting_words
from services.console.charts.bars import bar
from services.console.report_filters import DIMENSIONS
from services.console.report_page import render_report, report_filters
from services.console.visitor import OfApp

router = APIRouter()
CONVERSIONS: Final = "/v1/conversions"
ATTRIBUTION: Final = "/v1/attribution"
_LIMIT: Final = 50


@router.get("/apps/{app_id}/conversions")
async def list_conversions(page: OfApp) -> Response:
    filters, given = report_filters(page), page.request.query_params
    touch = {name: given[name] for name in DIMENSIONS if given.get(name)}
    asked = filters.parameters() | touch | {"limit": _LIMIT, "cursor": given.get("cursor")}
    found = await page.read(CONVERSIONS, asked)
    return render_report(
        page, "conversions.html", filters, found["meta"], (CONVERSIONS, asked), found=found, touch=touch
    )


@router.get("/apps/{app_id}/conversions/{conversion_id}")
async def explain_conversion(page: OfApp, conversion_id: str) -> Response:
    asked = {"conversion_id": conversion_id, "model": "all"}
    found = await page.read(ATTRIBUTION, asked)
    values = {
        "found": found,
        "setting_words": setting_words,
        # Credits from before there was a model lack it.
        "models": list(found["totals"]) or [model.value for model in Model],
        "bars": {touch["touch_id"] or "": _bars(touch) for touch in found["touches"]},
        "differences": differences_of(found["revisions"]),
    }
    return render_report(page, "conversion.html", report_filters(page), found["meta"], (ATTRIBUTION, asked), **values)


def _bars(touch: dict[str, Any]) -> dict[str, str]:
    return {model: bar(float(share["credit"]), 1.0) for model, share in touch["models"].items()}


def differences_of(revisions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what each revision changed against the one before it: touches come and gone, the value."""
    found, before = [], None
    for revision in sorted(revisions, key=lambda one: one["revision"]):
        touches = set(revision["touch_ids"])
        earlier: set[str] = set(before["touch_ids"]) if before else set()
        found.append(
            {
                **revision,
                "added": sorted(filter(None, touches - earlier)) if before else [],
                "removed": sorted(filter(None, earlier - touches)),
                "value_before": before["value"] if before and before["value"] != revision["value"] else None,
            }
        )
        before = revision
    return found[::-1]
