"""One event: what was sent, what it says, its session, its state and its conversions."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response

from pipeline.domain.preview import preview, rules_of
from schemas.events import FIELDS
from services.console.report_page import render_report, report_filters
from services.console.stored_events import event_of, value_at
from services.console.visitor import OfApp

router = APIRouter()


@router.get("/apps/{app_id}/events/{event_id:path}")
async def show_event(page: OfApp, event_id: str) -> Response:
    path = f"/v1/events/{quote(event_id, safe='')}"
    found = await page.read(path)
    assert page.app is not None
    said = preview(event_of(page.app_id, found["event"]), rules_of(page.app))
    values = {"found": found, "said": said, "normalised": _normalised(found["event"])}
    return render_report(page, "event.html", report_filters(page), found["meta"], (path, {}), **values)


def _normalised(event: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the fields that the gateway made of what was sent, those that have a value, by their paths in an event."""
    names = ("event_name", "timestamp", "original_timestamp", "received_at", "user_id", "anonymous_id")
    found = [(path, value_at(event, path)) for path in (*names, *(one.shown.path for one in FIELDS))]
    return [(path, value) for path, value in found if value is not None]
