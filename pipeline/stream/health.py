"""`/healthz`, `/readyz` and `/metrics` of a worker, on its own event loop: an answer means that the loop turns.

`/healthz` means more (see `pipeline.runtime.liveness`): 503 while messages wait and nothing is committed.
"""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


class HealthServer:
    """`before_metrics` brings gauges up to date when they are asked for. `stalled`: partitions that do not get on, and
    for how many seconds; any of them makes the worker one to be started again."""

    def __init__(
        self,
        host: str,
        port: int,
        is_ready: Callable[[], bool],
        before_metrics: Callable[[], None],
        stalled: Callable[[], dict[int, float]],
    ) -> None:
        self._stalled = stalled
        self._host = host
        self._port = port
        self._is_ready = is_ready
        self._before_metrics = before_metrics
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Start the server. Raises OSError if the port is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        stalled = self._stalled()
        if stalled:
            seconds = {partition: round(seconds, 1) for partition, seconds in stalled.items()}
            return web.json_response({"status": "stalled", "partitions": seconds}, status=503)
        return web.json_response({"status": "alive"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        is_ready = self._is_ready()
        return web.json_response({"status": "ready" if is_ready else "not ready"}, status=200 if is_ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        self._before_metrics()
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
