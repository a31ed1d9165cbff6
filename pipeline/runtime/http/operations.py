"""The routes operators use: `/healthz` (alive), `/readyz` (may have traffic), `/metrics` (Prometheus)."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from pipeline.runtime.http.envelope import failure_body, language_of
from pipeline.runtime.http.handlers import JSON_MEDIA_TYPE, success_response
from schemas.errors import ErrorCode

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
        language = language_of(request.headers.get("Accept-Language", ""))
        body = failure_body(ErrorCode.SERVER_ERROR, language, {"missing": missing})
        return Response(body, 503, {"Retry-After": "1"}, JSON_MEDIA_TYPE)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
