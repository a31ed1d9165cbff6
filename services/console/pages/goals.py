"""Goals: the events that count as conversions. List, form, versions, matches of the last days."""

import asyncio
import secrets
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from pipeline.control import AlreadyExists, InvalidRecord
from pipeline.control.goal_text import condition_text
from pipeline.runtime.clock import now_ms
from schemas.control import Goal
from services.console import setting_words as words
from services.console.event_walk import DAYS, MOST_EVENTS, recent_events
from services.console.goal_form import SPARE_ROWS, goal_of, logged, matches_of, rows_of, values_of
from services.console.goal_trial import example_of
from services.console.page import Page, go
from services.console.visitor import Form, OfApp, field, required

router = APIRouter()
_FIELDS = ("display_name", "goal_type", "event_name", "value_properties", "counting")
_NEW = Goal("", "", "macro", "")


@router.get("/apps/{app_id}/goals")
async def list_goals(page: OfApp) -> Response:
    store = page.console.store()
    goals = (await asyncio.to_thread(store.app, page.app_id)).goals
    changes = (await asyncio.to_thread(store.goal_changes, page.app_id))[::-1]
    return page.render("goals.html", goals=goals, changes=changes, words=words, text_of=condition_text)


@router.get("/apps/{app_id}/goals/new")
async def show_new_goal(page: OfApp) -> Response:
    event_name = page.request.query_params.get("event_name", "")
    return await _form_page(page, values_of(_NEW) | {"name": event_name, "event_name": event_name}, [])


@router.post("/apps/{app_id}/goals/new")
async def add_goal(page: OfApp, fields: Form) -> Response:
    return await _take(page, fields, field(fields, "name"), None)


@router.get("/apps/{app_id}/goals/{name}")
async def show_goal(page: OfApp, name: str) -> Response:
    known = await known_goal(page, name)
    return await _form_page(page, values_of(known), rows_of(known), known=known, looked=known)


@router.post("/apps/{app_id}/goals/{name}")
async def change_goal(page: OfApp, name: str, fields: Form) -> Response:
    return await _take(page, fields, name, await known_goal(page, name))


@router.post("/apps/{app_id}/goals/{name}/retire")
async def retire_goal(page: OfApp, name: str, fields: Form) -> Response:
    known = await known_goal(page, name)
    store = page.console.store(page.entry("goal.retire", name, before=logged(known)))
    await asyncio.to_thread(store.retire_goal, page.app_id, name, now_ms())
    await asyncio.to_thread(page.console.snapshots.refresh)
    return go(page.url("goals?saved=1"))


async def _take(page: Page, fields: FormData, name: str, known: Goal | None) -> Response:
    """Take a form: show what it would have matched (`do=preview`), or store it."""
    given = {one: field(fields, one) for one in _FIELDS} | {"name": name}
    rows = _rows(fields)
    try:
        goal = goal_of(name, given, rows)
        if field(fields, "do") == "preview":
            return await _form_page(page, given, rows, known=known, looked=goal)
        await asyncio.to_thread(_store, page, goal, known)
    except (InvalidRecord, AlreadyExists) as error:
        return await _form_page(page, given, rows, 400, problem=page.told(error), known=known)
    await asyncio.to_thread(page.console.snapshots.refresh)
    return go(page.url("goals?saved=1"))


def _store(page: Page, goal: Goal, known: Goal | None) -> None:
    if known is None:
        page.console.store(page.entry("goal.add", goal.name, after=logged(goal))).add_goal(page.app_id, goal, now_ms())
    else:
        entry = page.entry("goal.change", goal.name, logged(known), logged(goal))
        page.console.store(entry).update_goal(page.app_id, goal, now_ms())


def _rows(fields: FormData) -> list[tuple[str, str, str]]:
    columns = [[str(one).strip() for one in fields.getlist(f"condition_{part}")] for part in ("name", "is", "value")]
    return [row for row in zip(*columns, strict=False) if row[0] or row[2]]


async def known_goal(page: Page, name: str) -> Goal:
    """Return a goal of the app; refuses with 404."""
    app = await asyncio.to_thread(page.console.store().app, page.app_id)
    return required(next((goal for goal in app.goals if goal.name == name), None))


async def _form_page(
    page: Page,
    given: dict[str, str],
    rows: list[tuple[str, str, str]],
    status: int = 200,
    problem: str = "",
    known: Goal | None = None,
    looked: Goal | None = None,
) -> Response:
    """`looked`: the goal whose matches are shown."""
    assert page.app is not None
    recent = None if looked is None else await recent_events(page, looked.event_name)
    matches = matches_of(looked, page.app, recent.events, recent.is_whole) if looked and recent else None
    values: dict[str, Any] = {
        "given": given,
        "rows": [*rows, *[("", "eq", "")] * SPARE_ROWS],
        "problem": problem,
        "known": known,
        "looked": looked,
        "matches": matches,
        "days": DAYS,
        "most": MOST_EVENTS,
        "words": words,
        "text_of": condition_text,
        "changes": await _changes(page, known),
        "test_event": new_test_event(page, known) if known else "",
    }
    return page.render("goal.html", status, **values)


async def _changes(page: Page, known: Goal | None) -> list[Any]:
    if known is None:
        return []
    changes = await asyncio.to_thread(page.console.store().goal_changes, page.app_id)
    return [change for change in changes[::-1] if change.goal.name == known.name]


def new_test_event(page: Page, goal: Goal) -> str:
    """Return an event that meets a goal, of a new test person, as JSON to be edited."""
    assert page.app is not None
    return page.json(example_of(goal, page.app, secrets.token_hex(6)))
