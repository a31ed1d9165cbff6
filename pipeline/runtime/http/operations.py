"""The routes operators use: `/healthz` (alive), `/readyz` (may have traffic), `/metrics` (Prometheus)."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from pipeline.runtime.http.envelope import failure
from pipeline.runtime.http.errors import server_error
from pipeline.runtime.http.handlers import request_language, response_of, success_response

ReadinessCheck = Callable[[], Awaitable[list[str]]]
"""What is missing before traffic can come, in words; empty: ready."""


def add_operations(app: FastAPI, readiness: ReadinessCheck) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        """Touches nothing else: a database that is away is no reason to restart this process."""
        return success_response({"status": "alive"})

    @app.get("/readyz", include_in_schema=False)
    async def readyz(request: Request) -> Response:
        missing = await readiness()
        if not missing:
            return success_response({"status": "ready"})
        reply = failure(server_error(1, missing=missing), request_language(request))
        reply.status = 503  # what load balancers ask for; the only answer with this status
        return response_of(reply)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
