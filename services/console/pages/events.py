"""Events: one with its session, its state and its conversions; those that come in now; those that were refused."""

from typing import Final
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response

from services.console.report_page import render_report, report_filters
from services.console.visitor import OfApp

router = APIRouter()
_LIMIT: Final = 50


@router.get("/apps/{app_id}/events/{event_id:path}")
async def show_event(page: OfApp, event_id: str) -> Response:
    path = f"/v1/events/{quote(event_id, safe='')}"
    found = await page.read(path)
    return render_report(page, "event.html", report_filters(page), found["meta"], (path, {}), found=found)


@router.get("/apps/{app_id}/live")
async def show_live(page: OfApp) -> Response:
    """Events as they come; `part=rows` gives the part that the page's script puts in again and again."""
    given = page.request.query_params
    asked = {name: given.get(name) for name in ("event_name", "user_id", "anonymous_id")} | {"limit": _LIMIT}
    found = await page.read("/v1/events", asked)
    template = "live_rows.html" if given.get("part") == "rows" else "live.html"
    return render_report(page, template, report_filters(page), found["meta"], ("/v1/events", asked), found=found)


@router.get("/apps/{app_id}/rejected")
async def show_rejected(page: OfApp) -> Response:
    given = page.request.query_params
    asked = {name: given.get(name) for name in ("code", "field", "cursor")} | {"limit": _LIMIT}
    found = await page.read("/v1/events/rejected", asked)
    groups: dict[tuple[str, str, str], int] = {}
    for one in found["items"]:
        kind = (one["code"], _plain(one["field"] or ""), one["reason"] or "")
        groups[kind] = groups.get(kind, 0) + 1
    values = {"found": found, "groups": sorted(groups.items(), key=lambda item: -item[1])}
    return render_report(
        page, "rejected.html", report_filters(page), found["meta"], ("/v1/events/rejected", asked), **values
    )


def _plain(field: str) -> str:
    """`events[61].timestamp` → `timestamp`: the place in a batch is no part of what is wrong."""
    return field.partition("].")[2] or field
