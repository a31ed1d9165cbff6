"""The routes operators use: `/healthz` (alive), `/readyz` (may have traffic), `/metrics` (Prometheus)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from pipeline.runtime.http.envelope import failure
from pipeline.runtime.http.errors import ApiError, no_path, server_error
from pipeline.runtime.http.handlers import request_language, response_of, success_response
from schemas.errors import ErrorCode

ReadinessCheck = Callable[[], Awaitable[list[str]]]
"""Check that names what is missing before traffic can come, in words; empty: ready."""


@dataclass(frozen=True)
class MetricsAccess:
    """Access to `/metrics`: for everybody, or with the token; with neither it does not exist."""

    is_public: bool
    token: str = field(default="", repr=False)

    def check(self, authorization: str) -> None:
        """Check the access. Raises `ApiError`. `authorization`: the header of the request."""
        if self.is_public:
            return
        if not self.token:
            raise no_path()
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not compare_digest(given.strip().encode(), self.token.encode()):
            raise ApiError(ErrorCode.INVALID_API_KEY, headers=((b"www-authenticate", b'Bearer realm="metrics"'),))


PRIVATE_PORT: Final = MetricsAccess(is_public=True)
"""Of a port that is there for operators only."""


def add_operations(app: FastAPI, readiness: ReadinessCheck, metrics_access: MetricsAccess = PRIVATE_PORT) -> None:
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
    async def metrics(request: Request) -> Response:
        metrics_access.check(request.headers.get("Authorization", ""))
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
