"""The routes operators use: `/healthz` (progress), `/readyz` (may have traffic), `/metrics` (Prometheus)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from schemas.errors import ErrorCode
from services.web.envelope import failure
from services.web.errors import ApiError, no_path, server_error
from services.web.handlers import request_language, response_of, success_response

ReadinessCheck = Callable[[], Awaitable[list[str]]]
"""Check that names what is missing before traffic can come, in words; empty: ready."""
StallCheck = Callable[[], Mapping[str, float]]
"""Check that names what has something to do and does not get on, and for how many seconds; empty: alive. Nothing that
another part's absence explains: to start this process again would not bring that back.
"""


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
"""Access on a port that only operators can reach."""


def _nothing_stalls() -> Mapping[str, float]:
    return {}


def operations_app(
    name: str,
    readiness: ReadinessCheck,
    stalled: StallCheck = _nothing_stalls,
) -> FastAPI:
    """Create the app that a process without an API of its own serves: `/healthz`, `/readyz` and `/metrics`."""
    app = FastAPI(title=f"AttriKit {name}", openapi_url=None, docs_url=None, redoc_url=None)
    add_operations(app, readiness, stalled=stalled)
    return app


def add_operations(
    app: FastAPI,
    readiness: ReadinessCheck,
    metrics_access: MetricsAccess = PRIVATE_PORT,
    stalled: StallCheck = _nothing_stalls,
) -> None:
    def unavailable(request: Request, **details: object) -> Response:
        reply = failure(server_error(1, **details), request_language(request))
        reply.status = 503  # what load balancers and supervisors ask for; no other answer has this status
        return response_of(reply)

    @app.get("/healthz", include_in_schema=False)
    async def healthz(request: Request) -> Response:
        """Asks nobody else: a database that is away is no reason to restart this process."""
        parts = stalled()
        if parts:
            return unavailable(request, stalled={name: round(seconds, 1) for name, seconds in parts.items()})
        return success_response({"status": "alive"})

    @app.get("/readyz", include_in_schema=False)
    async def readyz(request: Request) -> Response:
        missing = await readiness()
        return unavailable(request, missing=missing) if missing else success_response({"status": "ready"})

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        metrics_access.check(request.headers.get("Authorization", ""))
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
