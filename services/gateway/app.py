"""The gateway put together: `create_app` chooses the real parts, `build_app` wires whatever parts it is given."""

import gc
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.metadata import version
from types import FrameType
from typing import Any, Final

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from pipeline.control import SnapshotNotLoaded, SnapshotSource
from pipeline.runtime.broker_room import BrokerRoom
from pipeline.runtime.client_address import TrustedProxies, parse_networks
from pipeline.runtime.clock import monotonic_seconds, now_ms
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import GatewaySettings
from pipeline.runtime.traces.tracer import Tracer
from services.gateway import resend, visitors
from services.gateway.admission import Admission
from services.gateway.client_rate import ClientRate
from services.gateway.docs import add_docs
from services.gateway.events_api import EventsApi
from services.gateway.forward import Forwarder
from services.gateway.home import home
from services.gateway.intake import Intake
from services.gateway.openapi import merge, own_document
from services.gateway.publish import Publisher
from services.gateway.request_edge import Edge, Endpoint, answer_http_exception
from services.gateway.request_head import CALL, Call
from services.gateway.sdk import add_sdk
from services.gateway.segment_api import SegmentApi
from services.gateway.sink import KafkaSink
from services.gateway.snapshots import Snapshots, note_app
from services.gateway.threads import SWITCH_SECONDS
from services.gateway.usage_counts import Tallies, TallyWriter
from services.web.budget import Budget
from services.web.openapi import Document
from services.web.operations import MetricsAccess, add_operations
from services.web.quota import Quota, limited_app, open_quota
from services.web.server import SERVER_OPTIONS, Clients, EnvelopeProtocol, QuietServer
from services.web.tracing import NO_TELEMETRY, About, TraceRequests

_OPENAPI_SECONDS: Final = 30.0
_DRAIN_SECONDS: Final = 30.0
OLD_EVENTS_PATH: Final = "/api/events"
"""Address that older set-ups of the browser SDK report to."""
_KEEP_ALIVE_SECONDS: Final = 75
"""Longer than the idle time of common load balancers, so that they close connections, not we."""
BROKER_DISK: Final = "disk space for the broker"
_log = get_logger("gateway")


class Ending:
    """How the process comes to its end: by a signal, or by an error."""

    def __init__(self) -> None:
        self.is_draining = False
        self.fatal: BaseException | None = None
        self.stop_server: Callable[[], None] | None = None

    def fail(self, error: BaseException) -> None:
        """End the process, with its reason, for an error that no retry will mend."""
        self.fatal = error
        self.is_draining = True
        if self.stop_server is not None:
            self.stop_server()


class Readiness:
    """Readiness of the gateway for traffic."""

    def __init__(self, snapshots: Snapshots, publisher: Publisher, ending: Ending) -> None:
        self._snapshots = snapshots
        self._publisher = publisher
        self._ending = ending

    async def missing(self) -> list[str]:
        """Name the parts that readiness waits for, in words."""
        found = {
            "stopping": self._ending.is_draining,
            "broker": not self._publisher.is_ready,
            BROKER_DISK: self._publisher.lacks_room,
            "control plane": not self._knows_keys(),
        }
        return [name for name, is_missing in found.items() if is_missing]

    def _knows_keys(self) -> bool:
        try:
            self._snapshots.current()
        except SnapshotNotLoaded:
            return False
        return True


def create_app(settings: GatewaySettings, tracer: Tracer | None = None) -> FastAPI:
    """The gateway over Kafka, the control plane's database and the query service the settings name.

    It starts whether they are there or not, connects as they come, and says in `/readyz` what is missing.
    """
    ending = Ending()
    sink = KafkaSink(settings, on_fatal=ending.fail)
    budget = Budget(settings.max_in_flight_bytes)
    room = BrokerRoom(settings.broker_data_dir, settings.broker_margin_bytes)
    publisher = Publisher(sink, settings.partitions, budget, settings.publish_timeout_seconds, room, tracer)
    snapshots = SnapshotSource(settings.control_plane_dsn(), settings.control_plane_refresh_seconds)
    return build_app(settings, snapshots, publisher, ending, tracer)


def build_app(
    settings: GatewaySettings,
    snapshots: Snapshots,
    publisher: Publisher,
    ending: Ending | None = None,
    tracer: Tracer | None = None,
) -> FastAPI:
    """Wire the parts. They are started and stopped with the application's lifespan."""
    ending = ending or Ending()
    quota = open_quota(settings)
    tallies = Tallies("gw_" + secrets.token_hex(8))
    forwarder = Forwarder(settings.query_url, publisher.budget, snapshots) if settings.query_url else None
    admission = Admission(snapshots, quota, ClientRate(settings.app_id_requests_a_second))
    intake = Intake(publisher, tallies)
    endpoints = _events_endpoints(EventsApi(admission, intake)) | SegmentApi(admission, intake).endpoints()
    endpoints[visitors.PATH] = Endpoint(visitors.Visitors(admission, publisher.budget).visitor)
    proxies = TrustedProxies(parse_networks(settings.trusted_proxies))
    writer = TallyWriter(tallies, publisher.sink, publisher.partitions, ending.fail)
    counting, tally = _counting(quota, snapshots), _tallying(tallies, snapshots)
    app = Gateway(
        lambda inner, routes: _traced(Edge(inner, endpoints, routes, counting, tally, proxies), routes, tracer),
        title="AttriKit API",
        version=version("attrikit"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # The gateway has metrics of its own; asking OpenTelemetry for each request whether it is set up costs 5 µs.
        telemetry=NO_TELEMETRY,
        lifespan=_lifespan(snapshots, publisher, forwarder, quota, writer),
        exception_handlers={HTTPException: answer_http_exception},
    )
    app.state.ending = ending
    app.router.routes.extend(Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items())
    app.router.routes.extend(Route(path, Endpoint(admission.preflight), methods=["OPTIONS"]) for path in endpoints)
    app.router.routes.append(Route(resend.PATH, resend.Resending(snapshots, publisher, forwarder), methods=["POST"]))
    access = MetricsAccess(settings.public_metrics, settings.metrics_token.get_secret_value())
    add_operations(
        app, Readiness(snapshots, publisher, ending).missing, access, lambda: publisher.stalled(settings.stall_seconds)
    )
    add_docs(app, _document(app.version, forwarder))
    add_sdk(app)
    if settings.console_url:
        app.router.routes.append(home(settings.console_url))
    if forwarder is not None:
        app.router.default = forwarder
    return app


class Gateway(FastAPI):
    """FastAPI with one layer outside all of its own, and no handler of last resort within: `Edge` is that."""

    def __init__(self, surround: Callable[[ASGIApp, frozenset[str]], ASGIApp], **options: Any) -> None:
        """`surround`: (the rest, the paths it has routes for) → the layer outside; called once, when all are there."""
        super().__init__(**options)
        self._surround = surround

    def build_middleware_stack(self) -> ASGIApp:
        handlers: dict[Any, Any] = dict(self.exception_handlers)
        routed = ExceptionMiddleware(AsyncExitStackMiddleware(self.router), handlers=handlers)
        return self._surround(routed, frozenset(getattr(route, "path", "") for route in self.router.routes))


def _traced(edge: Edge, routes: frozenset[str], tracer: Tracer | None) -> ASGIApp:
    """Put the requests' spans around everything, where traces are on."""

    def about(scope: Scope) -> About:
        route = scope["path"] if scope["path"] in routes else "other"
        call: Call | None = scope.get(CALL)
        return About(route, {"attrikit.app_id": call.app_id if call is not None else ""})

    return edge if tracer is None else TraceRequests(edge, tracer, about)


def _events_endpoints(events_api: EventsApi) -> dict[str, Endpoint]:
    return {
        "/v1/events/track": Endpoint(events_api.track),
        "/v1/events/batch": Endpoint(events_api.batch),
        "/v1/events/validate": Endpoint(events_api.validate),
        OLD_EVENTS_PATH: Endpoint(events_api.either),
    }


def _counting(quota: Quota | None, snapshots: Snapshots) -> Callable[[Scope, Call], Awaitable[None]]:
    """Count the requests the endpoints of events do not see: reads on their way to the query service, unknown paths."""

    async def count(scope: Scope, call: Call) -> None:
        app = limited_app(scope, call.authorization, snapshots) if quota is not None else None
        if quota is not None and app is not None:
            call.answer_headers = await quota.request(app)

    return count


def _tallying(tallies: Tallies, snapshots: Snapshots) -> Callable[[Call, int, float], None]:
    """Count every answer for the app it went to, and how long it took; a stranger's belongs to no app."""

    def tally(call: Call, status: int, seconds: float) -> None:
        if app_id := note_app(call, snapshots):
            tallies.request(app_id, now_ms(), seconds, has_failed=status >= 500)

    return tally


def _lifespan(
    snapshots: Snapshots, publisher: Publisher, forwarder: Forwarder | None, quota: Quota | None, counts: TallyWriter
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await snapshots.start()
        await publisher.start()
        await counts.start()
        yield
        await counts.stop()
        await publisher.stop()
        await snapshots.stop()
        if forwarder is not None:
            await forwarder.close()
        if quota is not None:
            await quota.close()

    return lifespan


def _document(api_version: str, forwarder: Forwarder | None) -> Callable[[], Awaitable[Document]]:
    """Return the gateway's document, with the query service's merged in when that can be had; cached for a while."""
    own = own_document(api_version)
    kept: tuple[float, Document] | None = None

    async def document() -> Document:
        nonlocal kept
        if forwarder is None:
            return own
        if kept is None or monotonic_seconds() - kept[0] > _OPENAPI_SECONDS:
            try:
                kept = (monotonic_seconds(), merge(own, await forwarder.fetch_openapi()))
            except (httpx.HTTPError, ValueError) as error:
                _log.warning("no_query_document", error=f"{type(error).__name__}: {error}")
                return own
        return kept[1]

    return document


class _Server(QuietServer):
    """uvicorn, saying "not ready" from the first signal on, and ending without passing the signal on to itself."""

    def __init__(self, config: uvicorn.Config, ending: Ending) -> None:
        super().__init__(config)
        self._ending = ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends the server when its requests are answered; a second interrupt, at once."""
        self._ending.is_draining = True
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def end(self) -> None:
        self.should_exit = True


def protocol(settings: GatewaySettings) -> Callable[..., EnvelopeProtocol]:
    """Make the connections of a server, of which each client has a limited number."""
    trusted = TrustedProxies(parse_networks(settings.trusted_proxies))
    return partial(EnvelopeProtocol, clients=Clients(settings.max_client_connections, trusted))


def run(settings: GatewaySettings, tracer: Tracer | None = None) -> int:
    """Serve until SIGTERM or SIGINT; requests under way are finished first. Returns the process's exit code. Raises
    `SystemExit` with uvicorn's code where it cannot start."""
    app = create_app(settings, tracer)
    ending: Ending = app.state.ending
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.publish_timeout_seconds + _DRAIN_SECONDS),
        **SERVER_OPTIONS | {"http": protocol(settings)},
    )
    server = _Server(config, ending)
    ending.stop_server = server.end
    _log.info("gateway_starting", host=settings.host, port=settings.port)
    # What is loaded now stays: keep the collector from walking it again and again.
    gc.collect()
    gc.freeze()
    # Requests make many objects and hardly a cycle: counting does what the collector would find nothing to add to.
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(SWITCH_SECONDS)
    server.run()
    if ending.fatal is not None:
        _log.error("gateway_failed", error=str(ending.fatal))
        return 1
    return 0
