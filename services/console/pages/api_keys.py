"""Settings > API management: keys, origins, reporting by app id, and what to paste into a site."""

import asyncio
import re
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from pipeline.control import InvalidRecord
from pipeline.runtime.clock import now_ms
from schemas.control import Scope
from services.console import setting_words
from services.console.page import Page, go
from services.console.reading import in_a_moment
from services.console.snippets import curl, script_tag
from services.console.visitor import Form, OfApp, Refused, chosen, field
from services.web.console_key import REPORTING_KEY_PREFIX
from services.web.quota.rules import REQUESTS_A_DAY

router = APIRouter()
_USAGE: Final = "/console/usage"
_USAGE_SECONDS: Final = 1.0
"""A new app is not held up by a query service that does not know it yet."""


@router.get("/apps/{app_id}/api-keys")
async def show_keys(page: OfApp) -> Response:
    return await _keys_page(page)


@router.post("/apps/{app_id}/api-keys")
async def create_key(page: OfApp, fields: Form) -> Response:
    """Make a key, and show it in this answer, once."""
    assert page.app is not None
    scopes = [Scope(scope) for scope in chosen(fields, "scope") if scope in set(Scope)]
    is_test = field(fields, "test") == "yes"
    entry = page.entry("key.create", page.app.app_id, after={"scopes": scopes, "is_test": is_test})
    store = page.console.store(entry)
    try:
        new = await asyncio.to_thread(lambda: store.create_key(page.app_id, scopes, now_ms(), is_test=is_test))
    except InvalidRecord:
        return await _keys_page(page, 400, problem=page.text("Choose what the key may do: report, read, or both."))
    return await _keys_page(page, created=new.secret)


@router.post("/apps/{app_id}/api-keys/{key_id}/revoke")
async def revoke_key(page: OfApp, key_id: str, fields: Form) -> Response:
    keys = await asyncio.to_thread(page.console.store().keys, page.app_id)
    if all(key.key_id != key_id for key in keys):
        raise Refused(404)
    store = page.console.store(page.entry("key.revoke", key_id))
    await asyncio.to_thread(store.revoke_key, key_id, now_ms())
    return go(page.url("api-keys"))


@router.post("/apps/{app_id}/api-keys/origins")
async def set_origins(page: OfApp, fields: Form) -> Response:
    """Set the origins pages may report from, and whether they may do so by the app's id."""
    assert page.app is not None
    origins = tuple(dict.fromkeys(filter(None, re.split(r"[\s,]+", field(fields, "origins")))))
    changed = replace(page.app, allowed_origins=origins, allows_app_id=field(fields, "allows_app_id") == "yes")
    entry = page.entry("app.origins", page.app_id, _origins_of(page.app), _origins_of(changed))
    try:
        await asyncio.to_thread(page.console.store(entry).update_app, changed, now_ms())
    except InvalidRecord as error:
        return await _keys_page(page, 400, problem=page.told(error))
    await asyncio.to_thread(page.console.snapshots.refresh)
    return go(page.url("api-keys"))


def _origins_of(app: Any) -> dict[str, Any]:
    return {"allowed_origins": list(app.allowed_origins), "allows_app_id": app.allows_app_id}


async def _keys_page(page: Page, status: int = 200, created: str = "", problem: str = "") -> Response:
    assert page.app is not None
    keys, usage = await asyncio.gather(
        asyncio.to_thread(page.console.store().keys, page.app_id), in_a_moment(page.read(_USAGE), _USAGE_SECONDS)
    )
    values = {
        "usage": usage,
        "limit": REQUESTS_A_DAY.get(page.app.plan),
        "words": setting_words,
        "keys": sorted(keys, key=lambda key: (key.revoked_at_ms is not None, -key.created_at_ms)),
        "console_keys": REPORTING_KEY_PREFIX,
        "created": created,
        "problem": problem,
        "script": script_tag(page.console.api_url, page.app_id),
        "curl": curl(page.console.api_url, created or "YOUR_API_KEY"),
    }
    return page.render("api_keys.html", status, **values)
