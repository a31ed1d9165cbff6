"""The console service: `create_app` is its composition root; `deploy.processes` runs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from pipeline.control import SnapshotNotLoaded, SnapshotSource
from pipeline.control.users import Users
from pipeline.runtime.client_address import TrustedProxies, parse_networks
from pipeline.runtime.settings import ConsoleSettings
from services.console.errors import install_error_pages, page_of_crash
from services.console.ledger import LEDGER, Ledgers
from services.console.live_feed import RECENT, LiveFeeds
from services.console.page import new_environment
from services.console.pages import ROUTERS
from services.console.reading import QueryApi
from services.console.reporting import GatewayApi
from services.console.state import Console
from services.console.static import StaticFiles
from services.web.middleware import EnvelopeMiddleware
from services.web.operations import MetricsAccess, add_operations
from services.web.tracing import NO_TELEMETRY

SERVICE: Final = "console"
_HERE: Final = Path(__file__).parent
_GZIP_BYTES: Final = 1_000


def create_app(settings: ConsoleSettings) -> FastAPI:
    """Create the console. It reads the control plane from its start-up to its shutdown."""
    snapshots = SnapshotSource(settings.control_plane_dsn(), settings.control_plane_refresh_seconds)
    api = QueryApi(settings, snapshots.current)
    gateway = GatewayApi(settings, snapshots.current)
    users = Users(settings.control_plane_dsn())
    ledgers = Ledgers(lambda app_id: api.get(app_id, "en", LEDGER))
    static = StaticFiles(_HERE / "static")

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await snapshots.start()
        yield
        await snapshots.stop()
        await ledgers.stop()
        await api.close()
        await gateway.close()
        users.close()

    app = FastAPI(
        title="AttriKit", openapi_url=None, docs_url=None, redoc_url=None, telemetry=NO_TELEMETRY, lifespan=lifespan
    )
    app.state.console = Console(
        settings,
        snapshots,
        api,
        LiveFeeds(
            lambda app_id, asked: api.get(app_id, "en", RECENT, asked),
            lambda app_id: snapshots.current().apps.get(app_id),
        ),
        ledgers,
        gateway,
        users,
        TrustedProxies(parse_networks(settings.trusted_proxies)),
        cache(lambda language: new_environment(str(_HERE / "templates"), language, static.urls)),
    )
    for router in ROUTERS:
        app.include_router(router)
    app.router.routes.append(static.route())
    access = MetricsAccess(settings.public_metrics, settings.metrics_token.get_secret_value())
    add_operations(app, lambda: _what_is_missing(snapshots), access)
    install_error_pages(app)
    app.add_middleware(GZipMiddleware, minimum_size=_GZIP_BYTES)
    app.add_middleware(EnvelopeMiddleware, service=SERVICE, reply_to_crash=page_of_crash)
    return app


async def _what_is_missing(snapshots: SnapshotSource) -> list[str]:
    try:
        snapshots.current()
    except SnapshotNotLoaded:
        return ["control_plane"]
    return []
