"""Composition roots: each function makes a process out of settings, runs it until SIGTERM or SIGINT, and drains it."""

import asyncio
import gc
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from pipeline.control.migrate import one_runner
from pipeline.runtime.clickhouse import ClickHouse, PlannedMigration, migrate, plan
from pipeline.runtime.connection_settings import ClickHouseSettings, ProcessSettings
from pipeline.runtime.kafka.fetch_pause import use_bells
from pipeline.runtime.lifecycle import cancel, run_draining
from pipeline.runtime.settings import (
    AlertsSettings,
    ConsoleSettings,
    GatewaySettings,
    LoaderSettings,
    QuerySettings,
    Settings,
    StoreSettings,
    WebhooksSettings,
    WorkerSettings,
)
from pipeline.runtime.traces.tracer import tracing
from schemas.ids import digest
from services.web.errors import ApiError
from services.web.server import SERVER_OPTIONS, QuietServer

_DRAIN_SECONDS: Final = 10
_KEEP_ALIVE_SECONDS: Final = 75
"""Keep-alive time of connections: longer than the idle time of common load balancers, so that they close connections,
not we.
"""


class StartupFailed(Exception):
    """Error: the HTTP server did not come up; the log above says why."""


class _Server(QuietServer):
    """HTTP server that leaves signals to us: uvicorn would raise them again after draining and end the process
    midway.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run_gateway(settings: GatewaySettings) -> None:
    """Run the gateway: HTTP → Kafka."""
    from services.gateway.app import run

    use_bells(settings.bells)
    # uvicorn raises the signal again once it has drained
    with suppress(KeyboardInterrupt), tracing(settings, "gateway") as tracer:
        raise SystemExit(run(settings, tracer))


def run_query(settings: QuerySettings) -> None:
    """Run the query service: ClickHouse → HTTP."""
    from services.query.app import create_app

    async def serve(stop: asyncio.Event) -> None:
        clickhouse = ClickHouse.open(settings)
        try:
            app = create_app(settings, clickhouse, tracer=tracer)
            await _serve(app, settings.host, settings.port, stop)
        finally:
            clickhouse.close()

    with tracing(settings, "query") as tracer:
        _run(serve)


def run_loader(settings: LoaderSettings) -> None:
    """Run the loader: Kafka → ClickHouse; with `/healthz`, `/readyz` and `/metrics` where a port is set."""
    from services.loader.app import Loader
    from services.web.operations import operations_app

    async def load(stop: asyncio.Event) -> None:
        clickhouse = ClickHouse.open(settings)
        try:
            loader = Loader(settings, clickhouse, tracer=tracer)
            app = operations_app("loader", loader.missing, loader.stalled)
            await _run_with_port(stop, loader.run(stop), app, settings.host, settings.loader_port)
        finally:
            clickhouse.close()

    with tracing(settings, "loader") as tracer:
        _run(load)


def run_store(settings: StoreSettings) -> None:
    """Run loader, query and alerts in one process: chDB allows one per data folder. Migrates embedded tables first."""
    from services.alerts.app import Alerter
    from services.loader.app import Loader
    from services.query.app import create_app

    use_bells(settings.bells)

    async def serve_and_load(stop: asyncio.Event) -> None:
        clickhouse = ClickHouse.open(settings)
        try:
            if clickhouse.is_embedded:
                await migrate(clickhouse)
            loader = Loader(settings, clickhouse, instance_id=_store_id(settings), tracer=tracer)
            app = create_app(settings, clickhouse, loader_stalled=loader.stalled, tracer=tracer)
            alerter = Alerter(settings, clickhouse, app.state.snapshots, _known(app.state.reader.complete_through_ms))
            await run_draining(
                stop, _serve(app, settings.host, settings.port, stop), loader.run(stop), alerter.run(stop)
            )
        finally:
            clickhouse.close()

    with tracing(settings, "store") as tracer:
        _run(serve_and_load)


def _store_id(settings: ProcessSettings) -> str:
    """Return the store's id: the same for a store restarted on the same data, which only one process at a time can
    open.
    """
    return "store-" + digest(socket.gethostname(), str(settings.data_dir.resolve()))


def run_worker(settings: WorkerSettings) -> None:
    """Run the Faust stream."""
    gc.disable()  # what is imported stays; `main` enables it again
    from pipeline.stream.app import main

    use_bells(settings.bells)
    main(settings)


def run_webhooks(settings: WebhooksSettings) -> None:
    """Run the webhook dispatcher: Kafka → the endpoints of webhooks; with `/healthz`, `/readyz` and `/metrics` where a
    port is set.
    """
    from services.web.operations import operations_app
    from services.webhooks.app import Webhooks

    use_bells(settings.bells)

    async def deliver(stop: asyncio.Event) -> None:
        webhooks = Webhooks(settings, tracer=tracer)
        app = operations_app("webhooks", webhooks.missing, webhooks.stalled)
        await _run_with_port(stop, webhooks.run(stop), app, settings.host, settings.webhooks_port)

    with tracing(settings, "webhooks") as tracer:
        _run(deliver)


def run_console(settings: ConsoleSettings) -> None:
    """Run the console: HTML over the query service's API and the control plane."""
    from services.console.app import create_app

    host, port = settings.console_host or settings.host, settings.console_port or settings.port + 1

    async def serve(stop: asyncio.Event) -> None:
        app = create_app(settings)
        await _serve(app, host, port, stop, on_stop=app.state.console.live.close)

    _run(serve)


def run_alerts(settings: AlertsSettings) -> None:
    """Run the alerts: ClickHouse → alerts, where the tables are on a server; with `/healthz`, `/readyz` and `/metrics`
    where a port is set.
    """
    from pipeline.control import SnapshotSource
    from services.alerts.app import Alerter
    from services.query.core.freshness import Freshness
    from services.query.core.reader import Reader
    from services.query.core.sql import QueryLimits
    from services.web.budget import Budget
    from services.web.operations import operations_app

    async def judge(stop: asyncio.Event) -> None:
        clickhouse = ClickHouse.open(settings)
        snapshots = SnapshotSource(settings.control_plane_dsn(), settings.control_plane_refresh_seconds)
        no_rows = Budget(0)
        reader = Reader(clickhouse, Freshness(settings.partitions), QueryLimits(), no_rows)
        await snapshots.start()
        try:
            alerter = Alerter(settings, clickhouse, snapshots, _known(reader.complete_through_ms))
            app = operations_app("alerts", alerter.missing)
            await _run_with_port(stop, alerter.run(stop), app, settings.host, settings.alerts_port)
        finally:
            await snapshots.stop()
            clickhouse.close()

    _run(judge)


def _known(complete_through_ms: Callable[[], Awaitable[int | None]]) -> Callable[[], Awaitable[int | None]]:
    """Wrap the reading so that it gives None also where the tables cannot be read: callers that wait for it wait on."""

    async def or_none() -> int | None:
        try:
            return await complete_through_ms()
        except ApiError:
            return None

    return or_none


def copy_or_compare(
    of_source: Settings, settings: Settings, only_compares: bool, say: Callable[[str], None]
) -> list[str]:
    """Copy tables between two ClickHouses, or only compare them; return what differs. Holds the lock of migrations."""
    from deploy.table_copy.command import copy_tables, differences

    async def run() -> list[str]:
        with closing(ClickHouse.open(of_source)) as source, closing(ClickHouse.open(settings)) as target:
            return await (differences if only_compares else copy_tables)(source, target, say)

    with one_runner(settings.control_plane_dsn(), say):
        return asyncio.run(run())


def migration_plan(settings: ClickHouseSettings) -> list[PlannedMigration]:
    """Return ClickHouse's migrations, with what would run of each."""

    async def read() -> list[PlannedMigration]:
        clickhouse = ClickHouse.open(settings)
        try:
            return await plan(clickhouse)
        finally:
            clickhouse.close()

    return asyncio.run(read())


def _run(serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    async def until_signalled() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(stop)

    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(until_signalled())


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not made for every platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(
    app: ASGIApp, host: str, port: int, stop: asyncio.Event, on_stop: Callable[[], None] = lambda: None
) -> None:
    """Serve until `stop`, then let running requests end. `on_stop` ends those that have no end of their own."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        **SERVER_OPTIONS,
    )
    server = _Server(config)

    async def exit_when_stopped() -> None:
        await stop.wait()
        on_stop()
        server.should_exit = True

    watching = asyncio.create_task(exit_when_stopped())
    try:
        await server.serve()
    except SystemExit as error:  # the port is taken, say
        raise StartupFailed from error
    finally:
        await cancel(watching)
    if not server.started:
        raise StartupFailed


async def _run_with_port(
    stop: asyncio.Event, work: Coroutine[Any, Any, None], app: ASGIApp, host: str, port: int
) -> None:
    """Run the work, and serve the app beside it if a port is set."""
    parts = [work, _serve(app, host, port, stop)] if port else [work]
    await run_draining(stop, *parts)
