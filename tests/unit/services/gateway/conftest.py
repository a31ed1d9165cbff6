"""A gateway without a network: real code over `MemorySink` and a fixed control plane, called through ASGI."""

from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from pipeline.runtime.broker_room import BrokerRoom
from pipeline.runtime.settings import Settings
from schemas.control import ApiKey, App, ClientAddress, PrivacySettings, Scope, Snapshot
from schemas.events import AcceptedEvent
from schemas.facts import RejectedRow
from schemas.topics import Topic
from services.gateway.app import build_app
from services.gateway.publish import Publisher
from services.gateway.sink import MemorySink
from services.gateway.snapshots import FixedSnapshots
from services.gateway.validate import Receipt
from services.web.budget import Budget

WRITE_KEY = "ak_test_write"
READ_KEY = "ak_test_read"
REVOKED_KEY = "ak_test_revoked"
RECEIVED_US = 1_705_314_700_000_000
"""2024-01-15T10:31:40Z"""


def _key(secret: str, scope: Scope, is_revoked: bool = False) -> tuple[str, ApiKey]:
    digest = sha256(secret.encode()).hexdigest()
    return digest, ApiKey("key_" + scope.value, "shop", digest, frozenset({scope}), is_revoked)


@pytest.fixture
def snapshot() -> Snapshot:
    keys = [_key(WRITE_KEY, Scope.WRITE), _key(READ_KEY, Scope.READ), _key(REVOKED_KEY, Scope.WRITE, is_revoked=True)]
    app = App("shop", "Shop", history_limit_days=4_000, privacy=PrivacySettings((), ClientAddress.WHOLE))
    return Snapshot({"shop": app}, dict(keys), 0)


@pytest.fixture
def receipt() -> Receipt:
    return Receipt("shop", "key_write", 400, RECEIVED_US, "203.0.113.9", "curl/8.5.0", 7)


@pytest.fixture
async def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def make_app(sink: MemorySink, snapshot: Snapshot, make_settings: Callable[..., Settings]) -> Callable[..., FastAPI]:
    def make(**given: Any) -> FastAPI:
        settings = make_settings(**given)
        budget = Budget(settings.max_in_flight_bytes)
        room = BrokerRoom(settings.broker_data_dir, settings.broker_margin_bytes)
        publisher = Publisher(sink, settings.partitions, budget, settings.publish_timeout_seconds, room)
        return build_app(settings, FixedSnapshots(snapshot), publisher)

    return make


@pytest.fixture
def make_client() -> Callable[[FastAPI], httpx.AsyncClient]:
    def make(app: FastAPI) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("198.51.100.7", 4711)),
            base_url="http://gateway",
            headers={"Authorization": f"Bearer {WRITE_KEY}"},
        )

    return make


@pytest.fixture
async def client(
    make_app: Callable[..., FastAPI], make_client: Callable[[FastAPI], httpx.AsyncClient]
) -> AsyncIterator[httpx.AsyncClient]:
    async with make_client(make_app()) as opened:
        yield opened


@pytest.fixture
def stored(sink: MemorySink) -> Callable[[], list[AcceptedEvent]]:
    return lambda: [msgspec.json.decode(line, type=AcceptedEvent) for line in sink.lines(Topic.EVENTS)]


@pytest.fixture
def refused(sink: MemorySink) -> Callable[[], list[RejectedRow]]:
    return lambda: [msgspec.json.decode(line, type=RejectedRow) for line in sink.lines(Topic.REJECTED)]
