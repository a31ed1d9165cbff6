"""The HTTP API as a caller meets it: gateway and query service on real sockets, in one thread of this process.

The gateway keeps its records in memory and forwards reads; the query service reads a real ClickHouse engine. Both know
the same fixed control plane.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from app_servers import AppServers
from query_world import SIGNING_KEY
from starlette.types import ASGIApp

from pipeline.control import ControlPlane, SnapshotNotLoaded, migrate_control_plane
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.settings import Settings
from schemas.control import DEFAULT_GOALS, ApiKey, App, Plan, Scope, Snapshot, WebhookEndpoint
from schemas.webhooks import EventType
from services.gateway.app import build_app
from services.gateway.publish import Publisher
from services.gateway.sink import MemorySink
from services.gateway.snapshots import FixedSnapshots
from services.query.app import create_app
from services.web.budget import Budget

APP_ID = "alpha"
ENDPOINT_ID = "whe_1"
SECRET_KEY = "ak_test_alpha"
WRITE_KEY = "ak_test_write"
READ_KEY = "ak_test_read"
REVOKED_KEY = "ak_test_revoked"
EMPTY_KEY = "ak_test_empty"
SPENT_KEY = "ak_test_spent"
_SCOPES = {
    SECRET_KEY: (APP_ID, {Scope.READ, Scope.WRITE}),
    WRITE_KEY: (APP_ID, {Scope.WRITE}),
    READ_KEY: (APP_ID, {Scope.READ}),
    REVOKED_KEY: (APP_ID, {Scope.READ, Scope.WRITE}),
    EMPTY_KEY: ("empty", {Scope.READ, Scope.WRITE}),
    SPENT_KEY: ("limited", {Scope.READ, Scope.WRITE}),
}


def control_plane() -> Snapshot:
    """Three apps, one of them on the free plan, and a key of each kind."""
    apps = {name: App(name, name, goals=DEFAULT_GOALS) for name in (APP_ID, "empty")}
    apps["limited"] = App("limited", "limited", Plan.FREE)
    keys = {}
    for number, (secret, (app_id, scopes)) in enumerate(_SCOPES.items()):
        digest = sha256(secret.encode()).hexdigest()
        keys[digest] = ApiKey(f"k{number}", app_id, digest, frozenset(scopes), is_revoked=secret == REVOKED_KEY)
    endpoint = WebhookEndpoint(ENDPOINT_ID, APP_ID, "https://shop.example/hook", frozenset(EventType), "", 0)
    return Snapshot(apps, keys, 0, signing_key=SIGNING_KEY.hex(), webhooks={APP_ID: (endpoint,)})


def make_control_plane(dsn: str) -> None:
    """Store the same apps in a database, where jobs are recorded."""
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    for app in control_plane().apps.values():
        store.create_app(app, 1)
    store.close()


class SwitchedSnapshots(FixedSnapshots):
    """A control plane that can be away from the beginning."""

    is_away = False

    def current(self) -> Snapshot:
        if self.is_away:
            raise SnapshotNotLoaded("nothing was read yet")
        return super().current()


class ServedApi(AppServers):
    """`url`: the gateway's, which serves everything; `query_url`: the query service's own."""

    def __init__(self, settings: Settings, clickhouse: ClickHouse) -> None:
        self._settings = settings
        self.clickhouse = clickhouse
        super().__init__()
        self.snapshots = SwitchedSnapshots(control_plane())
        self.sink: MemorySink
        self.publisher: Publisher
        self.url = ""
        self.query_url = ""

    def start(self) -> None:
        super().start()
        # Reads come through the gateway, which counts them.
        query_settings = self._settings.model_copy(update={"count_requests": False})
        query = create_app(query_settings, self.clickhouse, self.snapshots)
        self.query_url = self.serve(query)
        gateway_settings = self._settings.model_copy(update={"query_url": self.query_url})

        self.sink = MemorySink()
        self.publisher, self.url = self.serve_gateway(gateway_settings, self.sink)

    def serve_gateway(
        self,
        settings: Settings,
        sink: MemorySink,
        around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
        **options: Any,
    ) -> tuple[Publisher, str]:
        """A gateway over `sink`, and where it is. `around`: puts a layer around it."""

        async def gateway() -> tuple[Publisher, ASGIApp]:
            budget = Budget(settings.max_in_flight_bytes)
            publisher = Publisher(sink, settings.partitions, budget, settings.publish_timeout_seconds)
            return publisher, build_app(settings, self.snapshots, publisher)

        publisher, app = self.run(gateway)
        return publisher, self.serve(around(app), **options)
