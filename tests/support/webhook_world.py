"""Receivers, endpoints and facts for tests of webhooks: everything around the dispatcher, which is the real one."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from aiohttp import web

from pipeline.control import ControlPlane, migrate_control_plane
from pipeline.control.webhooks import WebhookEndpoints
from pipeline.runtime.clock import now_ms
from pipeline.runtime.kafka.clients import build_producer
from pipeline.runtime.secret_box import SecretBox
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.control import App, WebhookEndpoint
from schemas.facts import AlertRow, AlertState, AttributionRow, ConversionRow, encode_rows
from schemas.topics import Topic
from schemas.webhooks import EventType
from services.webhook_calls.signature import format_secret
from services.webhooks.app import Webhooks

SECRET = format_secret(b"0123456789abcdef01234567")
MODELS = ("last_click", "first_click", "linear", "time_decay", "position_based", "last_non_direct")


@dataclass
class Call:
    """One request a receiver had."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def message(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Answer = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """An HTTP server. `answers`: path → what is answered; other paths answer 200."""

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/ok") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def of(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    def ids(self, path: str) -> Counter[str]:
        return Counter(call.id for call in self.of(path))

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Raises `TimeoutError`, saying what has come."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._arrived.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._arrived.wait(), 0.2)
        except TimeoutError:
            raise TimeoutError(f"calls so far: {Counter(call.path for call in self.calls)}") from None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        call = Call(request.path, {k.lower(): v for k, v in request.headers.items()}, body, time.time())
        self.calls.append(call)
        self._arrived.set()
        answer = self.answers.get(request.path)
        return await answer(call) if answer else web.Response(text="fine")


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    receiver.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        yield receiver
    finally:
        await runner.cleanup()


def answer(status: int, **headers: str) -> Answer:
    async def respond(_call: Call) -> web.StreamResponse:
        return web.Response(status=status, text="no", headers=headers)

    return respond


class Desk:
    """One app of a control plane, its endpoints, and the facts about it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app_id = f"app{uuid4().hex[:8]}"
        dsn = settings.control_plane_dsn()
        migrate_control_plane(dsn)
        self.control_plane = ControlPlane(dsn)
        self.control_plane.create_app(App(self.app_id, "Test"), now_ms())
        self.store = WebhookEndpoints(dsn)
        self.box = SecretBox.open(settings, creates=True)

    def add(self, url: str, *events: EventType, secret: str = SECRET, **given: Any) -> WebhookEndpoint:
        endpoint = WebhookEndpoint(
            endpoint_id=f"whe_{uuid4().hex[:12]}",
            app_id=self.app_id,
            url=url,
            event_types=frozenset(events or EventType),
            secret=self.box.lock(secret),
            created_at_ms=1,
            **given,
        )
        self.store.add(endpoint, now_ms())
        return endpoint

    def find(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        return self.store.find(endpoint.endpoint_id)

    def conversion(self, number: int, **given: Any) -> ConversionRow:
        return conversion_row(self.app_id, number, **given)

    def attribution(self, number: int, **given: Any) -> AttributionRow:
        return attribution_row(self.app_id, number, **given)

    def alert(self, number: int) -> AlertRow:
        return AlertRow(
            app_id=self.app_id,
            alert_id=f"alr_{number:08}",
            rule_id=f"rule_{number % 7}",
            rule_name="few events",
            metric="events",
            subject="",
            comparison="below",
            threshold=10.0,
            value=float(number),
            average=None,
            unit="",
            state=AlertState.BEGAN.value,
            window_start_ms=1_700_000_000_000,
            window_end_ms=1_700_000_060_000 + number,
            began_at_ms=1_700_000_060_000 + number,
            fired_at_ms=1_700_000_060_000 + number,
        )


def conversion_row(app_id: str, number: int, person: str = "", reason: str = "initial", **given: Any) -> ConversionRow:
    values: dict[str, Any] = {
        "app_id": app_id,
        "conversion_id": f"cnv_{number:08}",
        "goal": "purchase",
        "goal_type": "macro",
        "event_id": f"evt_{number}",
        "person_key": person or f"u:{number % 97}",
        "user_id": "u",
        "anonymous_id": "",
        "session_id": "ses_1",
        "converted_at_ms": 1_700_000_000_000 + number,
        "value_minor": 19_999,
        "currency": "CNY",
        "order_id": f"O-{number}",
        "path_touch_ids": ["t1", "t2"],
        "path_touched_at_ms": [1_699_999_000_000, 1_699_999_500_000],
        "path_touch_types": ["click", "visit"],
        "path_channels": ["paid_search", "direct"],
        "path_sources": ["baidu", ""],
        "path_mediums": ["cpc", ""],
        "path_campaigns": ["brand", ""],
        "revision": 2,
        "reason": reason,
    }
    return ConversionRow(**values | given)


def attribution_row(app_id: str, number: int, revision: int = 1, touches: int = 2, **given: Any) -> AttributionRow:
    share, value = 1_000_000_000 // touches, 19_999 // touches
    credits = [share] * (touches - 1) + [1_000_000_000 - share * (touches - 1)]
    values_minor = [value] * (touches - 1) + [19_999 - value * (touches - 1)]
    values: dict[str, Any] = {
        "app_id": app_id,
        "conversion_id": f"cnv_{number:08}",
        "goal": "purchase",
        "person_key": f"u:{number % 97}",
        "converted_at_ms": 1_700_000_000_000 + number,
        "value_minor": 19_999,
        "currency": "CNY",
        "touch_ids": [f"t{n}" for n in range(touches)],
        "touched_at_ms": [1_699_999_000_000 + n for n in range(touches)],
        "touch_types": ["click"] * touches,
        "channels": [("paid_search", "email", "direct")[n % 3] for n in range(touches)],
        "sources": [f"source{n % 7}" for n in range(touches)],
        "mediums": ["cpc"] * touches,
        "campaigns": [f"campaign{n % 7}" for n in range(touches)],
        "credits_nanos": dict.fromkeys(MODELS, credits),
        "values_minor": dict.fromkeys(MODELS, values_minor),
        "reason": "initial" if revision == 1 else "late_touch",
        "revision": revision,
        "supersedes": revision - 1,
    }
    return AttributionRow(**values | given)


async def publish(settings: Settings, topic: Topic, rows: list[Any], per_record: int = 50) -> None:
    """Rows of one partition each, packed, as the stream writes them."""
    producer = build_producer(settings)
    await producer.start()
    try:
        records = [rows[start : start + per_record] for start in range(0, len(rows), per_record)]
        for number, some in enumerate(records):
            await producer.send_and_wait(topic.value, encode_rows(some), partition=number % settings.partitions)
    finally:
        await producer.stop()


def webhook_settings(folder: Path, bootstrap: str, **given: Any) -> Settings:
    usual: dict[str, Any] = {
        "data_dir": folder,
        "kafka_bootstrap": bootstrap,
        "control_plane_refresh_seconds": 0.1,
        "webhook_allowed_networks": "127.0.0.0/8",
        "webhook_retry_seconds": "1,1,1",
        "webhook_timeout_seconds": 3.0,
        "webhooks_instance": "test",
    }
    return Settings.model_construct().model_copy(update=usual | given)


@asynccontextmanager
async def dispatching(settings: Settings, **given: Any) -> AsyncIterator[Webhooks]:
    """The dispatcher in this process, ready."""
    await ensure_topics(settings)
    webhooks, stop = Webhooks(settings, **given), asyncio.Event()
    running = asyncio.create_task(webhooks.run(stop))
    try:
        async with asyncio.timeout(60):
            while await webhooks.missing():
                if running.done():
                    running.result()
                await asyncio.sleep(0.05)
        yield webhooks
    finally:
        stop.set()
        await running


async def informed(webhooks: Webhooks, seconds: float = 20.0) -> None:
    """Returns when the dispatcher has read the control plane anew: what was written there before is in force."""
    asked_at_ms = now_ms()
    async with asyncio.timeout(seconds):
        while webhooks._snapshots.current().taken_at_ms <= asked_at_ms:
            await asyncio.sleep(0.02)
