"""Events: one with what it says, its session, its state and its conversions; and those that were refused."""

from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response

from pipeline.domain.preview import preview, rules_of
from schemas.events import FIELDS
from services.console.report_page import render_report, report_filters
from services.console.stored_events import event_of, value_at
from services.console.visitor import OfApp

router = APIRouter()
_LIMIT: Final = 50


@router.get("/apps/{app_id}/events/{event_id:path}")
async def show_event(page: OfApp, event_id: str) -> Response:
    path = f"/v1/events/{quote(event_id, safe='')}"
    found = await page.read(path)
    assert page.app is not None
    said = preview(event_of(page.app_id, found["event"]), rules_of(page.app))
    values = {"found": found, "said": said, "normalised": _normalised(found["event"])}
    return render_report(page, "event.html", report_filters(page), found["meta"], (path, {}), **values)


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


def _normalised(event: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the fields that the gateway made of what was sent, those that have a value, by their paths in an event."""
    names = ("event_name", "timestamp", "original_timestamp", "received_at", "user_id", "anonymous_id")
    found = [(path, value_at(event, path)) for path in (*names, *(one.shown.path for one in FIELDS))]
    return [(path, value) for path, value in found if value is not None]


def _plain(field: str) -> str:
    """`events[61].timestamp` → `timestamp`: the place in a batch is no part of what is wrong."""
    return field.partition("].")[2] or field
