"""The query service: ClickHouse → HTTP. `create_app` is its composition root; `deploy.processes` runs it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from pipeline.control import SnapshotNotLoaded, SnapshotSource
from pipeline.control.signing_key import SigningKeyReader
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.secret_box import SecretBoxError
from pipeline.runtime.settings import QuerySettings
from pipeline.runtime.traces.tracer import Tracer
from services.query.alerts.back_test import router as back_test
from services.query.alerts.routes import router as alerts
from services.query.attribution.routes import router as attribution
from services.query.conversions.routes import router as conversions
from services.query.core.encoded_slashes import KeepSlashes
from services.query.core.freshness import Freshness
from services.query.core.reader import Reader, Snapshots, queries_at_once
from services.query.core.routing import repeatable_parameters
from services.query.core.sql import QueryLimits
from services.query.costs.routes import router as costs
from services.query.deliveries.routes import router as deliveries
from services.query.events.ledger import router as ledger
from services.query.events.recent import router as recent_events
from services.query.events.routes import router as events
from services.query.exports.lifespan import exporting, prepare_exports
from services.query.exports.routes import downloads
from services.query.exports.routes import router as exports
from services.query.operator.routes import add_operator_routes
from services.query.rejected.groups import router as rejected_groups
from services.query.rejected.routes import router as rejected
from services.query.reports.conversion.routes import router as conversion_report
from services.query.reports.performance.routes import router as performance_report
from services.query.usage.routes import router as usage
from services.query.users.routes import router as users
from services.web.budget import Budget
from services.web.client_disconnect import EndWithCaller
from services.web.docs_page import DOCUMENT_PATH, add_docs_page
from services.web.handlers import install_handlers
from services.web.middleware import EnvelopeMiddleware, route_of
from services.web.openapi import complete_document
from services.web.operations import MetricsAccess, StallCheck, add_operations
from services.web.quota import CountRequests, open_quota
from services.web.tracing import NO_TELEMETRY, About, TraceRequests

# Refused events before the route of single events, which would take their name for an id.
ROUTERS: Final = (
    rejected,
    events,
    conversions,
    attribution,
    users,
    costs,
    performance_report,
    conversion_report,
    deliveries,
    alerts,
    exports,
    downloads,
    back_test,
    recent_events,
    ledger,
    usage,
    rejected_groups,
)
SERVICE: Final = "query"


def create_app(
    settings: QuerySettings,
    clickhouse: ClickHouse,
    snapshots: Snapshots | None = None,
    loader_stalled: StallCheck = lambda: {},
    tracer: Tracer | None = None,
) -> FastAPI:
    """Create the query service. Without `snapshots` the app reads the control plane itself, from its start-up to its
    shutdown. `loader_stalled`: of the loader in the same process, if there is one. Reads end by their limits.
    """
    own = SnapshotSource(settings.control_plane_dsn(), settings.control_plane_refresh_seconds)

    quota = open_quota(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if snapshots is None:
            await own.start()
        async with exporting(app, settings, clickhouse):
            yield
        if snapshots is None:
            await own.stop()
        if quota is not None:
            await quota.close()

    app = FastAPI(
        title="AttriKit query API",
        version="1",
        description="Events, users, conversions, attribution and reports of one app: that of the key.",
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=DOCUMENT_PATH,
        docs_url=None,
        redoc_url=None,
        telemetry=NO_TELEMETRY,
        # Generators name their functions by it.
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.snapshots = snapshots or own
    app.state.signing_keys = SigningKeyReader(settings)
    limits = QueryLimits(
        settings.query_max_seconds,
        settings.query_max_rows_to_read,
        settings.query_max_memory_bytes,
        settings.query_max_user_memory_bytes,
    )
    budget = Budget(settings.query_answer_bytes)
    at_once = queries_at_once(not settings.clickhouse_url.get_secret_value(), os.cpu_count() or 1)
    app.state.reader = Reader(clickhouse, Freshness(settings.partitions), limits, budget, at_once)
    app.state.repeatable_parameters = repeatable_parameters(ROUTERS)
    for router in ROUTERS:
        app.include_router(router)
    prepare_exports(app, settings)
    install_handlers(app)
    add_operator_routes(app, clickhouse, settings.operator_token.get_secret_value(), settings.partitions)
    access = MetricsAccess(settings.public_metrics, settings.metrics_token.get_secret_value())
    add_operations(app, lambda: _what_is_missing(app), access, loader_stalled)
    add_docs_page(app)
    app.add_middleware(KeepSlashes)
    app.add_middleware(EndWithCaller)
    if quota is not None:
        app.add_middleware(CountRequests, quota=quota, snapshots=app.state.snapshots)
    app.add_middleware(EnvelopeMiddleware, service=SERVICE)
    if tracer is not None:
        app.add_middleware(TraceRequests, tracer=tracer, about=lambda scope: About(route_of(scope)))
    complete_document(app)
    return app


async def _what_is_missing(app: FastAPI) -> list[str]:
    missing = [] if await app.state.reader.ping() else ["clickhouse"]
    try:
        app.state.signing_keys.key_of(app.state.snapshots.current())
    except SnapshotNotLoaded:
        missing.append("control_plane")
    except SecretBoxError:
        missing.append("signing_key")
    return missing
