"""Test events of a goal: only checked, or sent through the gateway and followed to their credits."""

import asyncio
import secrets
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from pipeline.control import InvalidRecord
from pipeline.control.audit import write_entry
from pipeline.runtime.clock import now_ms
from schemas.control import Goal
from schemas.events import AcceptedEvent
from schemas.facts import Model
from services.console import setting_words, words
from services.console.goal_trial import PREFIX, RawEvent, Verdict, read_event, refuse_real_ids, verdict_on
from services.console.page import Page, go
from services.console.pages.conversions import ATTRIBUTION
from services.console.pages.goals import known_goal, new_test_event
from services.console.pages.validate import VALIDATE, verdict_values
from services.console.reading import ReadFailed, known_after_seconds
from services.console.report_page import key_name
from services.console.stored_events import event_of
from services.console.visitor import Form, OfApp, field
from services.web.envelope import encode_json

router = APIRouter()
_TRACK: Final = "/v1/events/track"


@router.get("/apps/{app_id}/goals/{name}/test")
async def show_test(page: OfApp, name: str) -> Response:
    goal = await known_goal(page, name)
    return _test_page(page, goal, new_test_event(page, goal))


@router.post("/apps/{app_id}/goals/{name}/test")
async def test_goal(page: OfApp, name: str, fields: Form) -> Response:
    """Check an event, or send it (`do=send`). One that the gateway would refuse is not sent: it would be listed among
    the refused events of the app.
    """
    goal, given = await known_goal(page, name), field(fields, "event")
    is_sent = field(fields, "do") == "send"
    try:
        event = read_event(given, PREFIX + secrets.token_hex(8))
        if is_sent:
            refuse_real_ids(event)
        found = await page.report(VALIDATE, msgspec.json.encode(event))
        if is_sent and found["valid"]:
            return await _send(page, goal, event)
    except InvalidRecord as error:
        return _test_page(page, goal, given, 400, problem=page.told(error))
    except ReadFailed as error:
        if error.status >= 500:
            raise
        return _test_page(page, goal, given, 400, problem=error.reason or error.message)
    return _test_page(page, goal, given, found=found, is_refused=is_sent)


async def _send(page: Page, goal: Goal, event: RawEvent) -> Response:
    """Send an event and lead to the page that follows it. It is logged before, for it may be stored even if the
    gateway's answer is lost.
    """
    event_id = msgspec.json.decode(event["event_id"])
    await _in_force(page, goal)
    entry = page.entry("goal.test", goal.name, after={"event_id": event_id})
    await asyncio.to_thread(write_entry, page.console.dsn, entry)
    await page.report(_TRACK, msgspec.json.encode(event))
    return go(page.url(f"goals/{goal.name}/test/{event_id}"))


async def _in_force(page: Page, goal: Goal) -> None:
    """Wait until the stream knows the goal as it stands: one that was made a moment ago would count nothing."""
    changes = await asyncio.to_thread(page.console.store().goal_changes, page.app_id)
    changed_at_ms = max((one.changed_at_ms for one in changes if one.goal.name == goal.name), default=0)
    since_seconds = (now_ms() - changed_at_ms) / 1000
    await asyncio.sleep(max(known_after_seconds(page.console.settings) - max(since_seconds, 0), 0))


def _test_page(
    page: Page,
    goal: Goal,
    given: str,
    status: int = 200,
    *,
    problem: str = "",
    found: Any = None,
    is_refused: bool = False,
) -> Response:
    """`found`: what the gateway says of the event; `is_refused`: it was to be sent."""
    values = {
        "known": goal,
        "test_event": given,
        "problem": problem,
        "is_refused": is_refused,
        "verdict": _verdict_of(page, goal, found["normalized"][0]) if found and found["valid"] else None,
        "setting_words": setting_words,
    }
    return page.render("goal_test.html", status, **values, **verdict_values(page, found))


def _verdict_of(page: Page, goal: Goal, shown: dict[str, Any]) -> Verdict:
    """`shown`: an event as the gateway would store it."""
    assert page.app is not None
    properties = msgspec.Raw(encode_json(shown["properties"]))
    person = (shown["user_id"] or "", shown["anonymous_id"] or "")
    event = AcceptedEvent(page.app_id, "", shown["event_name"], 0, 0, *person, properties)
    return verdict_on(goal, page.app, event)


@router.get("/apps/{app_id}/goals/{name}/test/{event_id}")
async def follow_test(page: OfApp, name: str, event_id: str) -> Response:
    """Show how far a test event has come. `part=state` gives the part that the page's script puts in again."""
    goal = await known_goal(page, name)
    values = await _state_of(page, goal, event_id)
    is_part = page.request.query_params.get("part") == "state"
    values |= {"known": goal, "event_id": event_id, "words": words, "setting_words": setting_words}
    return page.render("goal_test_state.html" if is_part else "goal_test_sent.html", **values)


async def _state_of(page: Page, goal: Goal, event_id: str) -> dict[str, Any]:
    assert page.app is not None
    found = await _stored(page, event_id)
    verdict = verdict_on(goal, page.app, event_of(page.app_id, found["event"])) if found else None
    conversions = found["status"]["conversions"] if found else []
    conversion = next((one for one in conversions if one["goal"] == goal.name), None)
    credits = await _credits_of(page, conversion)
    is_none = bool(verdict and (not verdict.is_met or found["status"]["is_late"]))
    return {
        "found": found,
        "steps": {one["step"]: one for one in found["status"]["steps"]} if found else {},
        "verdict": verdict,
        "conversion": conversion,
        "credits": credits,
        "is_done": is_none or credits is not None,
        "models": [model.value for model in Model],
        "channel_of": partial(key_name, page, "channel"),
    }


async def _stored(page: Page, event_id: str) -> Any:
    """Return the event with what became of it; None: it is not stored yet."""
    try:
        return await page.read(f"/v1/events/{quote(event_id, safe='')}")
    except ReadFailed as error:
        if error.status != 404:
            raise
        return None


async def _credits_of(page: Page, conversion: dict[str, Any] | None) -> list[Any] | None:
    """Return the touches of a conversion's path, with what each model gave them; None: it has no credits yet."""
    if conversion is None or not conversion["is_attributed"]:
        return None
    found = await page.read(ATTRIBUTION, {"conversion_id": conversion["conversion_id"], "model": "all"})
    return [touch for touch in found["touches"] if touch["is_kept"]]
