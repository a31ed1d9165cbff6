"""Webhooks: endpoints, their secrets (shown once), a test, pause, and what was delivered."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from typing import Any, Final

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from pipeline.control import InvalidRecord
from pipeline.control.audit import AuditEntry, write_entry
from pipeline.control.webhooks import WebhookEndpoints
from pipeline.runtime.clock import now_ms
from pipeline.runtime.secret_box import SecretBox, SecretBoxError
from schemas.control import WebhookEndpoint
from schemas.webhooks import EndpointState, EventType, Outcome
from services.console import setting_words
from services.console.page import Page, go
from services.console.reading import ReadFailed
from services.console.visitor import Form, OfApp, Refused, chosen, field, required
from services.webhook_calls.new_endpoint import new_endpoint, new_secret, refusal_for
from services.webhook_calls.trial import send_test

router = APIRouter()
DELIVERIES: Final = "/v1/webhooks/deliveries"
_LIMIT: Final = 50
_ROTATION_HOURS: Final = (0, 1, 24, 168)
_TYPES: Final = [one.value for one in EventType]
_BLANK: Final = WebhookEndpoint("", "", "", frozenset(EventType), "", 0)
_STATES: Final = {"pause": EndpointState.PAUSED, "resume": EndpointState.ACTIVE}


@router.get("/apps/{app_id}/webhooks")
async def list_endpoints(page: OfApp) -> Response:
    return await _list_page(page)


@router.post("/apps/{app_id}/webhooks")
async def add_endpoint(page: OfApp, fields: Form) -> Response:
    """Add an endpoint, and show its secret in this answer, once."""
    made, secret = new_endpoint(page.app_id, "", [], "", _box(page), now_ms())
    endpoint = _as_given(made, fields)
    entry = page.entry("webhook.add", endpoint.endpoint_id, after=_logged(endpoint))
    if problem := await _problem_with(page, endpoint, entry, WebhookEndpoints.add):
        return await _list_page(page, 400, problem, endpoint)
    return await _endpoint_page(page, endpoint, secret=secret)


@router.get("/apps/{app_id}/webhooks/{endpoint_id}")
async def show_endpoint(page: OfApp, endpoint_id: str) -> Response:
    return await _endpoint_page(page, await known_endpoint(page, endpoint_id))


@router.post("/apps/{app_id}/webhooks/{endpoint_id}")
async def change_endpoint(page: OfApp, endpoint_id: str, fields: Form) -> Response:
    """Edit, pause, resume, rotate the secret, test or remove, as `do` says."""
    known, do = await known_endpoint(page, endpoint_id), field(fields, "do")
    if do in _STATES:
        return await _set_state(page, known, do)
    action = {"edit": _edit, "rotate": _rotate, "test": _test, "remove": _remove}.get(do)
    if action is None:
        raise Refused(400)
    return await action(page, known, fields)


async def _edit(page: Page, known: WebhookEndpoint, fields: FormData) -> Response:
    endpoint = _as_given(known, fields)
    entry = page.entry("webhook.edit", known.endpoint_id, _logged(known), _logged(endpoint))
    if problem := await _problem_with(page, endpoint, entry, WebhookEndpoints.change):
        return await _endpoint_page(page, known, 400, problem=problem, given=endpoint)
    return go(page.url(f"webhooks/{known.endpoint_id}?saved=1"))


async def _set_state(page: Page, known: WebhookEndpoint, do: str) -> Response:
    await _write(page, do, known, lambda store: store.set_state(known.endpoint_id, _STATES[do], now_ms()))
    return go(page.url(f"webhooks/{known.endpoint_id}?saved=1"))


async def _rotate(page: Page, known: WebhookEndpoint, fields: FormData) -> Response:
    hours, secret = field(fields, "hours"), new_secret()
    if hours not in map(str, _ROTATION_HOURS):
        raise Refused(400)
    locked, until_ms = _box(page).lock(secret), now_ms() + int(hours) * 3_600_000
    await _write(page, "rotate", known, lambda store: store.rotate(known.endpoint_id, locked, until_ms, now_ms()))
    return await _endpoint_page(page, await known_endpoint(page, known.endpoint_id), secret=secret)


async def _test(page: Page, known: WebhookEndpoint, _fields: FormData) -> Response:
    """Send a test message and show the answer."""
    try:
        reply = await send_test(page.console.settings, known, _box(page), now_ms())
    except SecretBoxError as error:
        return await _endpoint_page(page, known, 503, problem=str(error))
    entry = page.entry("webhook.test", known.endpoint_id, after={"status": reply.status, "error": reply.error})
    await asyncio.to_thread(write_entry, page.console.dsn, entry)
    return await _endpoint_page(page, known, tested=reply)


async def _remove(page: Page, known: WebhookEndpoint, _fields: FormData) -> Response:
    await _write(page, "remove", known, lambda store: store.remove(known.endpoint_id))
    return go(page.url("webhooks?saved=1"))


async def _write(page: Page, do: str, known: WebhookEndpoint, write: Callable[[WebhookEndpoints], Any]) -> None:
    entry = page.entry(f"webhook.{do}", known.endpoint_id, before=_logged(known))
    await asyncio.to_thread(write, WebhookEndpoints(page.console.dsn, entry))


def _as_given(endpoint: WebhookEndpoint, fields: FormData) -> WebhookEndpoint:
    """Return the endpoint as a form describes it. What is no number is refused later: it is none that may be."""
    return replace(
        endpoint,
        url=field(fields, "url"),
        description=field(fields, "description"),
        event_types=frozenset(EventType(name) for name in chosen(fields, "event") if name in set(EventType)),
        max_concurrency=int(_number(fields, "concurrency", endpoint.max_concurrency)),
        max_per_second=_number(fields, "rate", endpoint.max_per_second),
    )


def _number(fields: FormData, name: str, otherwise: float) -> float:
    given = field(fields, name)
    try:
        number = float(given) if given else otherwise
    except ValueError:
        return -1
    return number if isfinite(number) else -1


async def _problem_with(
    page: Page,
    endpoint: WebhookEndpoint,
    entry: AuditEntry,
    write: Callable[[WebhookEndpoints, WebhookEndpoint, int], Any],
) -> str:
    """Store an endpoint. Returns why it is not acceptable; empty: it is stored."""
    if refusal := refusal_for(page.console.settings, endpoint.url):
        return page.told(refusal)
    try:
        await asyncio.to_thread(write, WebhookEndpoints(page.console.dsn, entry), endpoint, now_ms())
    except InvalidRecord as error:
        return page.told(error)
    return ""


def _box(page: Page) -> SecretBox:
    return SecretBox.open(page.console.settings, creates=True)


def _logged(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """Return what may be logged of an endpoint: no secrets."""
    return {
        "url": endpoint.url,
        "event_types": sorted(endpoint.event_types),
        "description": endpoint.description,
        "state": endpoint.state.value,
        "max_concurrency": endpoint.max_concurrency,
        "max_per_second": endpoint.max_per_second,
    }


async def known_endpoint(page: Page, endpoint_id: str) -> WebhookEndpoint:
    """Return an endpoint of the app; refuses with 404."""
    found = await asyncio.to_thread(WebhookEndpoints(page.console.dsn).endpoints, page.app_id)
    return required(next((one for one in found if one.endpoint_id == endpoint_id), None))


async def _list_page(page: Page, status: int = 200, problem: str = "", given: WebhookEndpoint = _BLANK) -> Response:
    found = await asyncio.to_thread(WebhookEndpoints(page.console.dsn).endpoints, page.app_id)
    values = {"endpoints": found, "problem": problem, "given": given, "types": _TYPES, "words": setting_words}
    return page.render("webhooks.html", status, **values)


async def _endpoint_page(
    page: Page,
    endpoint: WebhookEndpoint,
    status: int = 200,
    *,
    secret: str = "",
    problem: str = "",
    tested: Any = None,
    given: WebhookEndpoint | None = None,
) -> Response:
    """`given`: the endpoint as a form that was refused described it."""
    wanted = page.request.query_params.get("status", "")
    outcome = wanted if wanted in set(Outcome) else None
    asked = {"endpoint_id": endpoint.endpoint_id, "limit": _LIMIT, "status": outcome}
    try:
        found = await page.read(DELIVERIES, asked | {"cursor": page.request.query_params.get("cursor")})
    except ReadFailed as error:
        if error.status < 500:
            raise
        found = None
    queued = page.request.query_params.get("queued", "")
    values = {
        "endpoint": endpoint,
        "given": given or endpoint,
        "is_edited": given is not None,
        "types": _TYPES,
        "secret": secret,
        "problem": problem,
        "tested": tested,
        "found": found,
        "outcome": outcome,
        "outcomes": [one.value for one in Outcome],
        "hours": _ROTATION_HOURS,
        "queued": int(queued) if queued.isdecimal() and len(queued) < 10 else None,
        "now_ms": now_ms(),
        "words": setting_words,
    }
    return page.render("webhook.html", status, **values)
