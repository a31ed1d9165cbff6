"""A span around each request that is traced."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.runtime.traces.tracer import CURRENT, HEADER, Attributes, Span, Tracer
from services.web.middleware import QUIET_ROUTES

NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}
"""For `FastAPI(telemetry=…)`: its own spans, where its variables turn them on, hold whole addresses."""
_HEADER: Final = HEADER.encode()
_SERVER_ERROR: Final = 500


@dataclass(frozen=True)
class About:
    """Route and attributes that a request's span gets when the request is answered."""

    route: str
    """Its template: the path itself may hold an id of a person."""
    attributes: Attributes = field(default_factory=dict)


class TraceRequests:
    """ASGI middleware, outside of all others. What follows from the request finds its step in `CURRENT`, and services
    that it is forwarded to in its `traceparent`."""

    def __init__(self, app: ASGIApp, tracer: Tracer, about: Callable[[Scope], About]) -> None:
        self._app = app
        self._tracer = tracer
        self._about = about

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = None
        if scope["type"] == "http" and scope["path"] not in QUIET_ROUTES:
            given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
            span = self._tracer.begin("request", given)
        if span is None:
            await self._app(scope, receive, send)
        else:
            await self._answer(span, scope, receive, send)

    async def _answer(self, span: Span, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        others = [(name, value) for name, value in scope["headers"] if name != _HEADER]
        scope["headers"] = [*others, (_HEADER, span.traceparent)]
        token = CURRENT.set(span.traceparent)
        try:
            await self._app(scope, receive, watch)
        finally:
            CURRENT.reset(token)
            about = self._about(scope)
            span.rename(f"{scope['method']} {about.route}")
            span.note({"http.request.method": scope["method"], "http.route": about.route, **about.attributes})
            span.note({"http.response.status_code": status})
            span.end(str(status) if status == 0 or status >= _SERVER_ERROR else "")
