"""Channel rules: the app's own, in their order; a test box; what a change would move; versions, and back to one."""

import asyncio
import re
from dataclasses import asdict, replace
from typing import Any, Final

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from pipeline.control import InvalidRecord, UnknownRecord
from pipeline.control.channel_rules import FACTS, conditions_text, moved_rule, with_rule, without_rule
from pipeline.control.rules import check_attribution
from pipeline.domain.channels.classify import classify_arrival, compile_channels
from pipeline.domain.channels.tables import Channel
from pipeline.runtime.clock import now_ms
from schemas.control import App, ChannelRule, ChannelSettings
from services.console import setting_words
from services.console.channel_impact import impact_of
from services.console.event_walk import DAYS, MOST_EVENTS, recent_events
from services.console.page import Page, go
from services.console.report_page import key_name
from services.console.visitor import Form, OfApp, Refused, field

router = APIRouter()
_RULE: Final = ("name", "channel", *FACTS, "new_source")
_TEST: Final = ("page", "referrer", "source", "medium", "campaign")


@router.get("/apps/{app_id}/channels")
async def show_channels(page: OfApp) -> Response:
    return await _channels_page(page)


@router.post("/apps/{app_id}/channels")
async def change_channels(page: OfApp, fields: Form) -> Response:
    """Take a change: show what it would move (`do=preview`), or store it as a new version of the settings."""
    known = await asyncio.to_thread(page.console.store().app, page.app_id)
    try:
        settings = await _changed(page, known, fields)
        attribution = replace(known.attribution, channels=settings)
        check_attribution(attribution)
        if field(fields, "do") == "preview":
            return await _channels_page(page, fields=fields, settings=settings)
        before, after = _logged(known.attribution.channels), _logged(settings)
        store = page.console.store(page.entry("channels.change", field(fields, "change"), before, after))
        await asyncio.to_thread(store.update_app, replace(known, attribution=attribution), now_ms())
    except (InvalidRecord, UnknownRecord) as error:
        return await _channels_page(page, 400, fields=fields, problem=page.told(error))
    await asyncio.to_thread(page.console.snapshots.refresh)
    return go(page.url("channels?saved=1"))


async def _changed(page: Page, known: App, fields: FormData) -> ChannelSettings:
    """Return the settings that a form asks for. Raises `InvalidRecord`, `UnknownRecord`."""
    settings, change, name = known.attribution.channels, field(fields, "change"), field(fields, "name")
    if change == "rule":
        return with_rule(settings, ChannelRule(*(field(fields, one) for one in _RULE)), field(fields, "before"))
    if change == "remove":
        return without_rule(settings, name)
    if change in ("up", "down"):
        return moved_rule(settings, name, -1 if change == "up" else 1)
    if change == "hosts":
        own, ignored = (_lines(field(fields, one)) for one in ("own_domains", "ignored_referrers"))
        return replace(settings, own_domains=own, ignored_referrers=ignored)
    if change == "restore":
        return await _version(page, field(fields, "version"))
    raise Refused(400)


async def _version(page: Page, version: str) -> ChannelSettings:
    changes = await asyncio.to_thread(page.console.store().config_changes, page.app_id)
    found = next((one.attribution.channels for one in changes if str(one.version) == version), None)
    if found is None:
        raise UnknownRecord("there is no version %(version)r", version=version)
    return found


def _lines(given: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, re.split(r"[\s,]+", given.lower()))))


def _logged(settings: ChannelSettings) -> dict[str, Any]:
    return asdict(settings)


async def _channels_page(
    page: Page,
    status: int = 200,
    fields: FormData | None = None,
    settings: ChannelSettings | None = None,
    problem: str = "",
) -> Response:
    """`fields`: of a change that is not stored; `settings`: what it would lead to."""
    store = page.console.store()
    app = await asyncio.to_thread(store.app, page.app_id)
    own = app.attribution.channels
    recent = await recent_events(page) if settings is not None else None
    values: dict[str, Any] = {
        "own": own,
        "version": app.config_version,
        "changes": _differing(await asyncio.to_thread(store.config_changes, page.app_id)),
        "problem": problem,
        "rule": _rule_shown(page, own, fields),
        "before": field(fields, "before") if fields else "",
        "pending": _pending(fields) if settings is not None and fields else None,
        "impact": impact_of(recent.events, own, settings) if recent and settings is not None else None,
        "recent": recent,
        "days": DAYS,
        "most": MOST_EVENTS,
        "asked": {name: page.request.query_params.get(name, "") for name in _TEST},
        "decided": _decided(page, own),
        "channel_of": lambda name: key_name(page, "channel", str(name)),
        "channels": [channel.value for channel in Channel],
        "conditions_of": conditions_text,
        "words": setting_words,
    }
    return page.render("channels.html", status, **values)


def _rule_shown(page: Page, own: ChannelSettings, fields: FormData | None) -> dict[str, str]:
    """Return the fields of the rule's form: as they were sent, else those of the rule in the page's address."""
    if fields is not None and field(fields, "change") == "rule":
        return {name: field(fields, name) for name in _RULE}
    chosen = page.request.query_params.get("rule")
    found = next((rule for rule in own.rules if rule.name == chosen), None)
    return {name: getattr(found, name) if found else "" for name in _RULE}


def _pending(fields: FormData) -> dict[str, str]:
    return {name: value for name, value in fields.items() if isinstance(value, str) and name not in ("token", "do")}


def _decided(page: Page, own: ChannelSettings) -> Any:
    """Classify the arrival in the page's address; None: there is none."""
    given = [page.request.query_params.get(name, "").strip() for name in _TEST]
    address, referrer, source, medium, campaign = given
    rules = compile_channels(own)
    return classify_arrival(address, referrer, (source, medium, campaign), rules) if any(given) else None


def _differing(changes: list[Any]) -> list[Any]:
    """Leave out versions whose channel rules are those of the version before: other settings have versions too."""
    kept = []
    for newer, older in zip(changes, [*changes[1:], None], strict=True):
        if older is None or newer.attribution.channels != older.attribution.channels:
            kept.append(newer)
    return kept
