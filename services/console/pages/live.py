"""Live events: those stored last, whatever their own time, and the further ones as they come."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from services.console import server_sent
from services.console.live_feed import RECENT, Filters
from services.console.page import SECURITY_HEADERS, Page
from services.console.report_page import key_name, render_report, report_filters
from services.console.stored_events import row_of
from services.console.visitor import OfApp, Refused, still_may_see

router = APIRouter()
FILTERS: Final = ("event_name", "user_id", "anonymous_id")
_LONGEST: Final = 200
_TIME_DIGITS: Final = 15
_AGAIN_MS: Final = 2_000


@router.get("/apps/{app_id}/live")
async def show_live(page: OfApp) -> Response:
    assert page.app is not None
    filters = dict(_filters(page))
    found = await page.read(RECENT, filters)
    rows = [row_of(page.app, item) for item in found["items"]]
    shown = {"rows": rows, "channel_of": lambda name: key_name(page, "channel", name)}
    values = shown | {"after": rows[0].stored_at_ms if rows else 0, "asked": filters}
    return render_report(page, "live.html", report_filters(page), found["meta"], ("/v1/events", filters), **values)


@router.get("/apps/{app_id}/live/stream")
async def stream_live(page: OfApp) -> Response:
    """Send rows as they are stored, as server-sent events; `after`: those stored after that time in milliseconds."""
    given = page.request.headers.get("Last-Event-ID") or page.request.query_params.get("after", "")
    assert page.user is not None
    if page.console.live.is_full(page.user.user_id, page.app_id):
        raise Refused(429)
    told = _told(page, int(given) if given.isdecimal() and len(given) <= _TIME_DIGITS else 0)
    return StreamingResponse(
        told, media_type=server_sent.MEDIA_TYPE, headers=SECURITY_HEADERS | dict(server_sent.HEADERS)
    )


async def _told(page: Page, after_ms: int) -> AsyncIterator[bytes]:
    """Yield messages until the process stops or the reader may not see the app any more."""
    assert page.user is not None
    yield server_sent.retry_after(_AGAIN_MS)
    was_there = None
    async with aclosing(page.console.live.watch(page.user.user_id, page.app_id, _filters(page), after_ms)) as watched:
        async for rows, is_there in watched:
            if not await still_may_see(page):
                yield server_sent.message("end")
                return
            said = b""
            if is_there != was_there:
                said, was_there = server_sent.message("state", "live" if is_there else "away"), is_there
            if rows:
                said += server_sent.message("rows", _markup(page, rows), str(rows[-1].stored_at_ms))
            yield said or server_sent.HEARTBEAT  # a client that is gone is noticed when something is sent to it


def _markup(page: Page, rows: list[Any]) -> str:
    return page.markup("live_rows.html", rows=rows[::-1], channel_of=lambda name: key_name(page, "channel", name))


def _filters(page: Page) -> Filters:
    given = page.request.query_params
    return tuple((name, value[:_LONGEST]) for name in FILTERS if (value := given.get(name, "").strip()))
