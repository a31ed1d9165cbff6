"""The outermost layer: gives every request its id, counts it, and puts every failure into the envelope."""

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Final

from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.control import SnapshotNotLoaded
from pipeline.runtime.client_address import TrustedProxies
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.log import get_logger
from schemas.errors import ErrorCode
from services.gateway.errors import ClientGone
from services.gateway.metrics import ERRORS, REQUEST_SECONDS, REQUESTS
from services.gateway.paths import canonical_path, encoded_path
from services.gateway.publish import PublishError
from services.gateway.request_head import CALL, RANDOM_BYTES, Call
from services.web.budget import Overloaded
from services.web.envelope import Language, Reply, failure
from services.web.errors import ApiError, no_path, server_error
from services.web.handlers import http_error, response_of
from services.web.middleware import QUIET_ROUTES
from services.web.request_log import REQUEST_LOG

RETRY_SECONDS: Final = 1
_EXPECTED: Final = (PublishError, Overloaded, SnapshotNotLoaded)
_log = get_logger("gateway")

Handle = Callable[[Call, Receive], Awaitable[Reply]]
Failing = Callable[[ApiError, Language], Reply]


def error_for(error: Exception, call: Call) -> ApiError:
    """Map any failure to the error for the caller; an unexpected one is logged with its traceback."""
    if isinstance(error, ApiError):
        if error.code is ErrorCode.SERVER_ERROR:
            error.details["request_id"] = call.request_id
        return error
    if isinstance(error, _EXPECTED):
        # Counted, and told once in a while by who refused: an outage under load would write thousands of lines.
        _log.debug("request_refused", request_id=call.request_id, reason=f"{type(error).__name__}: {error}")
    else:
        _log.error("request_crashed", request_id=call.request_id, exc_info=error)
    retry_seconds = error.retry_seconds if isinstance(error, PublishError) else RETRY_SECONDS
    return server_error(retry_seconds, request_id=call.request_id)


def reply_to(error: Exception, call: Call, failing: Failing = failure) -> Reply:
    """Return the answer to a request that failed. `failing`: how an error is written."""
    told = error_for(error, call)
    ERRORS.labels(told.code.value).inc()
    call.error_code = told.code.value
    return failing(told, call.language)


async def send_reply(reply: Reply, send: Send) -> None:
    length = (b"content-length", str(len(reply.body)).encode())
    await send({"type": "http.response.start", "status": reply.status, "headers": [length, *reply.headers]})
    await send({"type": "http.response.body", "body": reply.body})


class Endpoint:
    """An ASGI application around a function from a call to a reply, with none of a framework's layers between."""

    def __init__(self, handle: Handle, failing: Failing = failure) -> None:
        self._handle = handle
        self._failing = failing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call: Call = scope[CALL]
        try:
            reply = await self._handle(call, receive)
        except ClientGone:
            return
        except Exception as error:
            reply = reply_to(error, call, self._failing)
        await send_reply(reply, send)


class Edge:
    """ASGI middleware, around all of the framework's own layers.

    POSTs to `direct` paths are answered by their endpoint at once; everything else goes through the router.
    """

    def __init__(
        self,
        app: ASGIApp,
        direct: Mapping[str, ASGIApp],
        routes: frozenset[str],
        count: Callable[[Scope, Call], Awaitable[None]],
        tally: Callable[[Call, int, float], None],
        proxies: TrustedProxies,
    ) -> None:
        """`routes`: the paths that may stand as a label in the metrics. `count`: against the plan, what `direct`
        endpoints do themselves; may refuse. `tally`: told of every answer, with its status and the seconds it took."""
        self._proxies = proxies
        self._tally = tally
        self._count_request = count
        self._app = app
        self._direct = direct
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_seconds = monotonic_seconds()
        call = Call(scope, os.urandom(RANDOM_BYTES), self._proxies)
        scope[CALL] = call
        answer = _Answer(send, call)
        path = scope["path"]
        app = self._direct.get(path) if scope["method"] == "POST" else None
        try:
            if app is None:
                _settle_path(scope)
                await self._count_request(scope, call)
                app = self._app
            await app(scope, receive, answer.send)
        except Exception as error:
            await _answer_crash(error, call, answer)
        seconds = monotonic_seconds() - started_seconds
        route = path if path in self._routes else "other"
        _count(route, answer.status, seconds)
        self._tally(call, answer.status, seconds)
        if route not in QUIET_ROUTES:
            _log_request(call, scope["method"], route, answer.status, seconds)


def _settle_path(scope: Scope) -> None:
    """Set the canonical form of the path. Raises `NOT_FOUND` where it has none."""
    path = canonical_path(scope.get("raw_path") or scope["path"].encode())
    if path is None:
        raise no_path()
    scope["path"] = path
    scope["raw_path"] = encoded_path(path)


class _Answer:
    """Wrapper of `send` that watches an answer go out, and adds the request's id and other headers to it."""

    __slots__ = ("_call", "_send", "status")

    def __init__(self, send: Send, call: Call) -> None:
        self._send = send
        self._call = call
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = (b"x-request-id", self._call.request_id.encode())
            message["headers"] = [*message.get("headers", ()), own, *self._call.answer_headers]
        await self._send(message)


async def _answer_crash(error: Exception, call: Call, answer: _Answer) -> None:
    if isinstance(error, ClientGone):
        return
    reply = reply_to(error, call)
    if answer.status:
        # Half an answer is out: only a broken connection can tell the caller that the rest is missing.
        raise error
    await send_reply(reply, answer.send)


def _log_request(call: Call, method: str, route: str, status: int, seconds: float) -> None:
    left_out = REQUEST_LOG.take(status)
    if left_out is not None:
        facts = {"method": method, "route": route, "seconds": round(seconds, 4)}
        known = {"app_id": call.app_id, "code": call.error_code}
        REQUEST_LOG.write(call.request_id, status, left_out, facts | {k: v for k, v in known.items() if v})


def _count(route: str, status: int, seconds: float) -> None:
    requests, duration = _counters(route, status)
    requests.inc()
    duration.observe(seconds)


@cache
def _counters(route: str, status: int) -> tuple[Counter, Histogram]:
    """Return the counters; bounded: routes and statuses are."""
    return REQUESTS.labels(route, str(status)), REQUEST_SECONDS.labels(route)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Answer the router's own refusals (unknown path, wrong method), in the envelope."""
    assert isinstance(error, HTTPException)
    call: Call = request.scope[CALL]
    return response_of(reply_to(http_error(error), call))
