"""Waiting for the first event of an app: the page turns when it comes, or says why it was refused."""

from fastapi import APIRouter
from starlette.responses import Response

from services.console.visitor import OfApp

router = APIRouter()
_SHOWN = 5


@router.get("/apps/{app_id}/first-event")
async def show_first_event(page: OfApp) -> Response:
    """`part=state` gives the part that the page's script puts in again and again."""
    events = (await page.read("/v1/events", {"limit": _SHOWN}))["items"]
    rejected = (await page.read("/v1/events/rejected", {"limit": _SHOWN}))["items"] if not events else []
    is_part = page.request.query_params.get("part") == "state"
    template = "first_event_state.html" if is_part else "first_event.html"
    return page.render(template, events=events, rejected=rejected)
