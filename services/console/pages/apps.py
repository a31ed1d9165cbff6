"""Apps: the list, a new one, and an app's own settings; and the log of changes."""

import asyncio
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from pipeline.control import AlreadyExists, InvalidRecord
from pipeline.control.audit import read_entries
from pipeline.runtime.clock import now_ms
from schemas.control import App, ClientAddress, Plan
from schemas.currencies import CODES
from schemas.facts import TouchType
from services.console import setting_words
from services.console.i18n.catalogue import text
from services.console.page import Page, go
from services.console.visitor import AdminOfApp, AdminPage, Form, OfApp, Refused, SignedIn, field

router = APIRouter()
_UNREADABLE = text("A number or a choice cannot be read. Check the fields, and save again.")
_ENTRIES = 100
_ZONES = ("Asia/Shanghai", "Asia/Hong_Kong", "Asia/Singapore", "Asia/Tokyo", "Europe/London", "America/New_York", "UTC")


@router.get("/")
async def home(page: SignedIn) -> Response:
    """Lead to the reader's first app; the list of apps where there is no choice to make."""
    apps = page.apps
    return go(f"/apps/{apps[0].app_id}/overview" if apps else "/apps")


@router.get("/apps")
async def list_apps(page: SignedIn) -> Response:
    return page.render("apps.html", words=setting_words)


@router.get("/apps/new")
async def show_new_app(page: AdminPage) -> Response:
    return _new_app_page(page, {}, "")


@router.post("/apps/new")
async def create_app(page: AdminPage, fields: Form) -> Response:
    try:
        app = _app_of(fields)
        entry = page.entry("app.create", app.app_id, after=_values(app))
        await asyncio.to_thread(page.console.store(replace(entry, app_id=app.app_id)).create_app, app, now_ms())
    except (InvalidRecord, AlreadyExists) as error:
        return _new_app_page(page, dict(fields), page.told(error), 400)
    await asyncio.to_thread(page.console.snapshots.refresh)
    return go(f"/apps/{app.app_id}/api-keys")


@router.get("/apps/{app_id}/settings")
async def show_settings(page: AdminOfApp) -> Response:
    return _settings_page(page)


@router.post("/apps/{app_id}/settings")
async def change_settings(page: AdminOfApp, fields: Form) -> Response:
    assert page.app is not None
    known = page.app
    try:
        changed = _changed(known, fields)
        entry = page.entry("app.change", known.app_id, _values(known), _values(changed))
        await asyncio.to_thread(page.console.store(entry).update_app, changed, now_ms())
    except InvalidRecord as error:
        return _settings_page(page, page.told(error), 400)
    except ValueError:
        return _settings_page(page, page.text(_UNREADABLE), 400)
    await asyncio.to_thread(page.console.snapshots.refresh)
    return go(page.url("settings?saved=1"))


@router.get("/apps/{app_id}/changes")
async def show_changes(page: OfApp) -> Response:
    """The log of changes of the app."""
    assert page.app is not None
    entries = await asyncio.to_thread(read_entries, page.console.dsn, page.app.app_id, _ENTRIES)
    return page.render("changes.html", entries=entries)


@router.get("/audit")
async def show_all_changes(page: AdminPage) -> Response:
    entries = await asyncio.to_thread(read_entries, page.console.dsn, None, _ENTRIES)
    return page.render("changes.html", entries=entries)


def _app_of(fields: FormData) -> App:
    app_id = field(fields, "app_id")
    return App(
        app_id,
        field(fields, "name") or app_id,
        currency=field(fields, "currency").upper(),
        timezone=field(fields, "timezone"),
    )


def _changed(known: App, fields: FormData) -> App:
    windows = {kind: int(field(fields, f"window_{kind}")) for kind in TouchType}
    attribution = replace(
        known.attribution,
        window_days=known.attribution.window_days | windows,
        half_life_days=float(field(fields, "half_life_days")),
        session_gap_seconds=int(field(fields, "session_gap_minutes")) * 60,
        direct_touch=field(fields, "direct_touch"),
    )
    privacy = replace(known.privacy, client_address=ClientAddress(field(fields, "client_address")))
    name, plan = field(fields, "name"), Plan(field(fields, "plan"))
    return replace(known, name=name, plan=plan, attribution=attribution, privacy=privacy)


def _values(app: App) -> dict[str, Any]:
    """What a change of an app may change, for the log; goals have a log of their own."""
    kept = ("name", "plan", "currency", "timezone", "attribution", "privacy", "allowed_origins", "allows_app_id")
    values = asdict(app)
    return {name: values[name] for name in kept}


def _new_app_page(page: Page, given: dict[str, Any], problem: str, status: int = 200) -> Response:
    currencies = sorted(CODES)
    return page.render("app_new.html", status, given=given, problem=problem, currencies=currencies, zones=_ZONES)


def _settings_page(page: Page, problem: str = "", status: int = 200) -> Response:
    if page.app is None:
        raise Refused(404)
    kinds = [kind.value for kind in TouchType]
    return page.render(
        "app_settings.html", status, problem=problem, kinds=kinds, plans=[(plan.value, plan.value) for plan in Plan]
    )
