"""The outermost layer of an HTTP service: request ids, metrics, one log line a request, crashes turned to envelopes."""

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.log import get_logger
from services.web.envelope import Reply, failure, language_of
from services.web.errors import BrokenAnswer, server_error
from services.web.request_log import REQUEST_LOG

REQUEST_ID_HEADER: Final = "X-Request-Id"
CRASH_RETRY_AFTER_SECONDS: Final = 5
REQUEST_ID_PATTERN: Final = r"^[\x21-\x7e]{1,128}$"
_GIVEN_ID: Final = re.compile(REQUEST_ID_PATTERN.replace("$", r"\Z"))
_STATE_KEY: Final = "request_id"
ANSWER_HEADERS: Final = "answer_headers"
"""Key in the ASGI scope's state for headers that an inner layer adds to whatever the answer will be."""
QUIET_ROUTES: Final = frozenset({"/healthz", "/readyz", "/metrics"})

_REQUESTS: Final = Counter("attrikit_http_requests", "Answered requests", ["service", "method", "route", "status"])
_SECONDS: Final = Histogram(
    "attrikit_http_request_seconds",
    "From the request's arrival to the end of its answer",
    ["service", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log = get_logger("http")


def request_id_of(scope: Mapping[str, Any]) -> str:
    """The id this request answers with, in `X-Request-Id` and in the log."""
    return str(scope.get("state", {}).get(_STATE_KEY, ""))


def choose_request_id(given: str | None, random_hex: str) -> str:
    """The caller's id if it is harmless to log and echo, else one of our own."""
    return given if given and _GIVEN_ID.match(given) else "req_" + random_hex


class EnvelopeMiddleware:
    """Pure ASGI. Put it around everything else, so that no answer escapes without an id or outside the envelope."""

    def __init__(self, app: ASGIApp, service: str, reply_to_crash: Callable[[Scope, str], Reply] | None = None) -> None:
        """`service`: the label in metrics and logs. `reply_to_crash`: makes the answer after a crash, from the request
        and its id; by default the envelope."""
        self._app = app
        self._service = service
        self._reply_to_crash = reply_to_crash or _envelope_of_crash

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = choose_request_id(Headers(scope=scope).get(REQUEST_ID_HEADER), secrets.token_hex(12))
        scope.setdefault("state", {})[_STATE_KEY] = request_id
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._answer(scope, receive, _Answer(send, request_id, scope["state"]))

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        began = monotonic_seconds()
        try:
            await self._app(scope, receive, answer.send)
        except BrokenAnswer as error:
            # The server closes a connection whose answer is not completed: only that can still say that it is wrong.
            _log.warning("answer_broken_off", route=route_of(scope), error=str(error))
        except Exception:
            _log.exception("request_crashed", method=scope["method"], route=route_of(scope))
            if answer.status:
                raise  # part of an answer is out
            await answer.crash(self._reply_to_crash(scope, request_id_of(scope)))
        finally:
            self._record(scope, answer.status, monotonic_seconds() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_of(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        _REQUESTS.labels(self._service, method, route, str(status)).inc()
        _SECONDS.labels(self._service, route).observe(seconds)
        if route not in QUIET_ROUTES:
            REQUEST_LOG.note(request_id_of(scope), status, method=method, route=route, seconds=round(seconds, 4))


class _Answer:
    """Sends on, adds the id and `ANSWER_HEADERS` to the headers, and remembers the status (0: nothing sent yet)."""

    def __init__(self, send: Send, request_id: str, state: Mapping[str, Any]) -> None:
        self._state = state
        self._send = send
        self._request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID_HEADER] = self._request_id
            message["headers"] = [*message["headers"], *self._state.get(ANSWER_HEADERS, ())]
        await self._send(message)

    async def crash(self, reply: Reply) -> None:
        headers = [*reply.headers, (b"content-length", str(len(reply.body)).encode())]
        await self.send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": reply.body})


def _envelope_of_crash(scope: Scope, request_id: str) -> Reply:
    language = language_of(Headers(scope=scope).get("Accept-Language", "").encode("latin-1", "replace"))
    return failure(server_error(CRASH_RETRY_AFTER_SECONDS, request_id=request_id), language)


def route_of(scope: Scope) -> str:
    """The route's template, never the path itself: a metric's labels must stay few."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
