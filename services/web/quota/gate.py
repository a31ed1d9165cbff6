"""Requests counted against their app's plan: a call for the gateway, a layer for the query service."""

from collections.abc import Callable
from typing import Final, Protocol

from prometheus_client import Counter as Metric
from starlette.datastructures import Headers as RequestHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.control import SnapshotNotLoaded
from pipeline.runtime.clock import now_ms
from pipeline.runtime.settings import QuotaSettings
from schemas.control import App, Snapshot
from services.web.auth import identify
from services.web.envelope import failure, language_of
from services.web.errors import ApiError
from services.web.middleware import ANSWER_HEADERS
from services.web.quota.counters import Counter, LocalCounter
from services.web.quota.rules import (
    Headers,
    Window,
    day_of,
    headers_of,
    is_limited,
    judge,
    second_of_validations,
)

REFUSED: Final = Metric("attrikit_quota_refused_requests", "Refused with RATE_LIMIT_EXCEEDED, by plan", ("plan",))
API_PREFIX: Final = "/v1/"


class Snapshots(Protocol):
    def current(self) -> Snapshot: ...


class Quota:
    """Quota of apps that are limited (`is_limited`); the others need no check."""

    def __init__(self, counter: Counter, clock: Callable[[], int] = now_ms) -> None:
        """`clock`: milliseconds since the epoch."""
        self._counter = counter
        self._clock = clock
        self._last_seen: dict[str, tuple[str, int]] = {}

    async def request(self, app: App) -> Headers:
        """Count a request; the headers of its answer, whatever that will be. Raises RATE_LIMIT_EXCEEDED."""
        at_ms = self._clock()
        return await self._count(day_of(app, at_ms), app, at_ms)

    async def validation(self, app: App) -> Headers:
        """Check the quota of a request that only validates."""
        at_ms = self._clock()
        return await self._count(second_of_validations(app, at_ms), app, at_ms)

    async def close(self) -> None:
        await self._counter.close()

    async def _count(self, window: Window, app: App, at_ms: int) -> Headers:
        used = await self._counter.add(window.name, window.kept_seconds(at_ms))
        if used is None:
            name, last_used = self._last_seen.get(app.app_id, ("", 0))
            return headers_of(window, last_used if name == window.name else 0, at_ms)
        self._last_seen[app.app_id] = (window.name, used)
        try:
            return judge(window, used, at_ms)
        except ApiError:
            REFUSED.labels(window.plan.value).inc()
            raise


def open_quota(settings: QuotaSettings) -> Quota | None:
    """Open the quota that the settings name; None: this process does not count. Nothing is connected before the first
    request.
    """
    if not settings.count_requests:
        return None
    if settings.quota_redis_url:
        from services.web.quota.redis_counter import RedisCounter

        return Quota(RedisCounter(settings.quota_redis_url.get_secret_value(), settings.quota_timeout_seconds))
    return Quota(LocalCounter())


def limited_app(scope: Scope, authorization: bytes, snapshots: Snapshots) -> App | None:
    """The app whose quota a request counts against; None where there is nothing to count."""
    if scope["method"] == "OPTIONS" or not scope["path"].startswith(API_PREFIX):
        return None
    try:
        app = identify(authorization, snapshots.current()).app
    except (ApiError, SnapshotNotLoaded):
        return None  # who answers the request will say what is wrong
    return app if is_limited(app) else None


class CountRequests:
    """ASGI middleware. Put it directly inside `EnvelopeMiddleware`, which adds its headers to the answer."""

    def __init__(self, app: ASGIApp, quota: Quota, snapshots: Snapshots) -> None:
        self._app = app
        self._quota = quota
        self._snapshots = snapshots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = RequestHeaders(scope=scope)
            authorization = given.get("Authorization", "").encode("latin-1", "replace")
            app = limited_app(scope, authorization, self._snapshots)
            if app is not None:
                try:
                    scope.setdefault("state", {})[ANSWER_HEADERS] = await self._quota.request(app)
                except ApiError as refusal:
                    await _refuse(refusal, given.get("Accept-Language", ""), send)
                    return
        await self._app(scope, receive, send)


async def _refuse(refusal: ApiError, accept_language: str, send: Send) -> None:
    reply = failure(refusal, language_of(accept_language.encode("latin-1", "replace")))
    headers: list[tuple[bytes, bytes]] = [*reply.headers, (b"content-length", str(len(reply.body)).encode())]
    start: Message = {"type": "http.response.start", "status": reply.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": reply.body})
