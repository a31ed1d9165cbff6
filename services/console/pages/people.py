"""People: search by any id, and the timeline of one: sessions, events, conversions, ids that were joined."""

import asyncio
from itertools import groupby
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response

from services.console.page import Page, go
from services.console.reading import AddressTooLong, ReadFailed
from services.console.report_page import render_report, report_filters
from services.console.visitor import OfApp

router = APIRouter()
_LIMIT: Final = 50
_EVENTS: Final = 50


@router.get("/apps/{app_id}/people")
async def list_people(page: OfApp) -> Response:
    """The people seen last; with `q`, the page of what has that id."""
    asked_for = page.request.query_params.get("q", "").strip()
    if asked_for and (found := await _find(page, asked_for)):
        return go(found)
    asked = {"limit": _LIMIT, "cursor": page.request.query_params.get("cursor")}
    people = await page.read("/v1/users", asked)
    filters = report_filters(page)
    return render_report(page, "people.html", filters, people["meta"], ("/v1/users", asked), found=people, q=asked_for)


@router.get("/apps/{app_id}/people/{person_id:path}")
async def show_person(page: OfApp, person_id: str) -> Response:
    path = f"/v1/users/{quote(person_id, safe='')}"
    asked = {"limit": _EVENTS, "cursor": page.request.query_params.get("cursor")}
    user, events, journey = await asyncio.gather(
        page.read(path), page.read(path + "/events", asked), page.read(path + "/journey")
    )
    values = {
        "person": user["user"],
        "days": days_of(events["items"]),
        "next_cursor": events["next_cursor"],
        "conversions": {one["event_id"]: one for one in journey["conversions"]},
        "journey": by_day(journey),
        "joined": journey["joined"],
    }
    return render_report(page, "person.html", report_filters(page), user["meta"], (path, {}), **values)


_TIMES: Final = {"joined": "joined_at", "conversions": "converted_at", "touches": "touched_at", "sessions": "start"}
"""Kind of fact → its time; of one moment, a session stands beneath what happened in it."""


def by_day(journey: dict[str, Any]) -> list[tuple[str, list[tuple[str, str, dict[str, Any]]]]]:
    """Return the facts of a journey as (time, kind, fact), newest first, by day."""
    found = [(one[time], kind, one) for kind, time in _TIMES.items() for one in journey[kind]]
    found.sort(key=lambda fact: fact[0], reverse=True)
    return [(day, list(group)) for day, group in groupby(found, key=lambda fact: fact[0][:10])]


def days_of(events: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Group events, newest first, by day."""
    return [(day, list(group)) for day, group in groupby(events, key=lambda event: event["timestamp"][:10])]


async def _find(page: Page, text: str) -> str:
    """Return the page of what has this id: a conversion, an event, a person, the events of a session or an order."""
    tried: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("/v1/attribution", {"conversion_id": text}, f"conversions/{quote(text, safe='')}"),
        (f"/v1/users/{quote(text, safe='')}", {}, f"people/{quote(text, safe='')}"),
        (f"/v1/events/{quote(text, safe='')}", {}, f"events/{quote(text, safe='')}"),
    )
    for path, parameters, shown in tried:
        if await _read_if_there(page, path, parameters):
            return page.url(shown)
    for name in ("session_id", "property.order_id"):
        found = await _read_if_there(page, "/v1/events", {name: text, "limit": 1})
        if found and found["items"]:
            return page.url(_shown_of(name, found["items"][0]))
    return ""


def _shown_of(name: str, event: dict[str, Any]) -> str:
    """Return where an order or a session is shown: its newest event, or the person of it."""
    if name == "property.order_id":
        return f"events/{quote(event['event_id'], safe='')}"
    return f"people/{quote(event['user_id'] or event['anonymous_id'], safe='')}"


async def _read_if_there(page: Page, path: str, parameters: dict[str, Any]) -> Any:
    """Return the answer; None where nothing has the id."""
    try:
        return await page.read(path, parameters)
    except ReadFailed as error:
        if error.status >= 500 or isinstance(error, AddressTooLong):
            raise
        return None
