"""The HTTP/1.1 protocol under every service: uvicorn's, with bounds it lacks and its own refusals in the envelope.

What is no HTTP never becomes a request, so no application sees it; uvicorn answers in plain text. Here it is answered
like everything else: 400, the envelope, an id. Two things uvicorn leaves open are bounded: how much may come before a
request's head (or anything else that is no body) is complete, and how long a connection may take over it.

A head has to mean one thing to all who read it: `Host` stands in it once (RFC 9112, section 3.2), and the fields that
decide whose a request is and how its body is read at most once. A client that ends its own side of the connection after
its request gets its answer (RFC 9112, section 9.6).
"""

import asyncio
import secrets
from asyncio import TimerHandle, Transport
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import uvicorn
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from prometheus_client import Counter as Metric
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pipeline.runtime.client_address import TrustedProxies, client_network
from pipeline.runtime.waiting import event_or_timeout
from schemas.errors import ErrorCode
from services.web.envelope import failure, language_of
from services.web.errors import ApiError, Text, invalid
from services.web.middleware import REQUEST_ID_HEADER, choose_request_id
from services.web.request_log import REQUEST_LOG

MAX_HEAD_BYTES: Final = 64 * 1024
"""Maximum size of a request line with its headers. Chunk sizes and trailers in a row are held to it too."""
MAX_HEADERS: Final = 100
MAX_PARAMETERS: Final = 500
"""Limit for a query string. What each header and parameter costs those who read it is more than its bytes."""
STALL_SECONDS: Final = 30.0
"""Maximum time for a head, and for a pause of a body. Services bound the time of a whole body themselves."""
LINGER_SECONDS: Final = 2.0
_DATE_SECONDS: Final = 1.0

NOT_HTTP: Final = Text("不是有效的 HTTP 请求", "it is not a valid HTTP request")
NO_HOST: Final = Text("请求必须带一个 Host 头", "the request must have a Host header")
REPEATED: Final = Text("该请求头只能出现一次", "the header may stand in a request only once")
_SINGLE_HEADERS: Final = (b"host", b"authorization", b"content-type", b"content-encoding", b"origin")
TOO_MANY_HEADERS: Final = Text(f"请求头不能超过 {MAX_HEADERS} 个", f"there may be at most {MAX_HEADERS} headers")
TOO_MANY_PARAMETERS: Final = Text(
    f"查询参数不能超过 {MAX_PARAMETERS} 个", f"there may be at most {MAX_PARAMETERS} query parameters"
)
HEAD_TOO_LARGE: Final = Text("请求头超出大小限制", "the head of the request exceeds the limit")
_ENDED: Final = Metric(
    "attrikit_http_connections_ended", "Connections ended because of what came or did not come, by reason", ["reason"]
)


class Clients:
    """The connections of each client network, of which one may have `limit`. Proxies that are trusted have no limit."""

    def __init__(self, limit: int, trusted: TrustedProxies) -> None:
        self._limit = limit
        self._trusted = trusted
        self._counts: Counter[str] = Counter()
        self._counted: dict[object, str] = {}

    def enter(self, connection: object, peer: str) -> bool:
        """Count a connection; False: the client has too many."""
        if self._trusted.is_trusted(peer):
            return True
        network = client_network(peer)
        if self._counts[network] >= self._limit:
            return False
        self._counts[network] += 1
        self._counted[connection] = network
        return True

    def leave(self, connection: object) -> None:
        network = self._counted.pop(connection, None)
        if network is not None:
            self._counts[network] -= 1
            if not self._counts[network]:
                del self._counts[network]


class EnvelopeProtocol(HttpToolsProtocol):
    """Protocol of one connection."""

    def __init__(self, *given: Any, clients: Clients | None = None, **named: Any) -> None:
        """`clients`: None where a client may have any number of connections."""
        super().__init__(*given, **named)
        self._clients = clients

    _is_in_head = True
    _is_refused = False
    _bytes_since_body = 0
    """Read since the last piece of a body, or the last complete head."""
    _progress_at_seconds = 0.0
    """Time when the head of a request began or ended, or a piece of its body came."""
    _watching: TimerHandle | None = None
    _blocked_at_seconds: float | None = None
    """When the client stopped reading what is sent to it."""
    _was_closing = False
    _running: RequestResponseCycle | None = None
    """The request being answered; `cycle` is the last one read, which may wait behind it."""
    _bad_head: ApiError | None = None
    """Fault of a head that is HTTP otherwise."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._progress_at_seconds = self.loop.time()
        if self._clients is not None and not self._clients.enter(self, self.client[0] if self.client else ""):
            _ENDED.labels("too many").inc()
            transport.abort()
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._clients is not None:
            self._clients.leave(self)
        if self._running is not None and not self._running.response_complete:
            # uvicorn tells the last request read alone, not one that others wait behind.
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._blocked_at_seconds = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._blocked_at_seconds = None
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._bytes_since_body += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
        except HttpParserError:
            self._refuse(self._bad_head or invalid("request", NOT_HTTP))
        if self._bytes_since_body > MAX_HEAD_BYTES and not (self._is_refused or self.transport.is_closing()):
            self._refuse(_too_large(self._bytes_since_body))

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. Whether it is still owed an answer: then the connection ends after the last one."""
        last = self.cycle
        if self._is_refused or last is None or last.response_complete or last.more_body:
            return False
        last.keep_alive = False
        self.loop.call_later(LINGER_SECONDS, self._end_unanswered)
        return True

    def _end_unanswered(self) -> None:
        """End a read that is not answered yet: a client that has closed its connection looks like one that has ended
        its own side, until something is sent to it."""
        running = self._running
        is_read = running is not None and running.scope["method"] in ("GET", "HEAD")
        if running is not None and is_read and not running.response_started:
            self.transport.close()

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._progress_at_seconds = self.loop.time()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers may be left out (RFC 9110, section 6.5.1), and must not change a head that has been read.
        if self._is_in_head:
            if len(self.headers) >= MAX_HEADERS:
                self._bad_head = invalid("headers", TOO_MANY_HEADERS, limit=MAX_HEADERS)
                raise self._bad_head  # which ends the parser
            super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._bad_head = _mistake_in(self.url, self.headers, self.parser.get_http_version())
        if self._bad_head is not None:
            raise self._bad_head  # which ends the parser
        self._is_in_head = False
        self._bytes_since_body = 0
        self._progress_at_seconds = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bytes_since_body = 0
        self._progress_at_seconds = self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._bytes_since_body = 0
        super().on_message_complete()

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """An offer to speak another protocol may be ignored (RFC 9110, section 7.8). The parser takes what follows such
        a head for that protocol, though it is the body, so another one reads the same head without the offer. Java's
        HTTP client offers h2c with every first request."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(invalid("request", NOT_HTTP))
            return
        version = self.parser.get_http_version().encode()
        head = [method + b" " + self.url + b" HTTP/" + version]
        head += [name + b": " + value for name, value in self.headers if name not in (b"upgrade", b"connection")]
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._bytes_since_body = 0
        self.data_received(b"\r\n".join([*head, b"connection: " + self._kept(), b"", rest]))

    def _kept(self) -> bytes:
        """The connection options beside the upgrade."""
        given = b",".join(value for name, value in self.headers if name == b"connection").lower().split(b",")
        return b", ".join(option for option in map(bytes.strip, given) if option not in (b"upgrade", b"http2-settings"))

    def _refuse(self, error: ApiError) -> None:
        """End the connection, with an answer if the caller is waiting for none to an earlier request."""
        self._is_refused = True
        _ENDED.labels(error.code.value).inc()
        running = self.cycle
        is_waiting = running is not None and running.more_body and not running.response_started and not self.pipeline
        if running is None or running.response_complete or is_waiting:
            self._answer(error)
            self._close_slowly()
        elif running.more_body or self.pipeline:
            self.transport.close()
        else:
            running.keep_alive = False
            return
        if running is not None:
            running.disconnected = True
            running.waiting_for_100_continue = False
            running.message_event.set()

    def _close_slowly(self) -> None:
        """Close after reading on for a while and throwing it away: closing at once would take the answer with it."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _answer(self, error: ApiError) -> None:
        given = dict(self.headers or ())
        request_id = choose_request_id(
            given.get(REQUEST_ID_HEADER.lower().encode(), b"").decode("latin-1"), secrets.token_hex(12)
        )
        reply = failure(error, language_of(given.get(b"accept-language", b"")))
        headers = [
            *self.server_state.default_headers,
            *reply.headers,
            (b"content-length", str(len(reply.body)).encode()),
            (REQUEST_ID_HEADER.lower().encode(), request_id.encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        status = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n".encode()
        self.transport.write(status + lines + b"\r\n" + reply.body)
        REQUEST_LOG.note(request_id, reply.status, route="unreadable", code=error.code.value)

    def _watch(self) -> None:
        """Check for a stall: one timer a connection, not one a request: it looks again when the time could be up."""
        left_seconds = STALL_SECONDS - self._stalled_seconds()
        # A connection that is closed but cannot be rid of its last answer is looked at once more.
        if left_seconds > 0 and not self._was_closing:
            self._was_closing = self.transport.is_closing()
            self._watching = self.loop.call_later(left_seconds, self._watch)
        else:
            _ENDED.labels("stalled" if self._blocked_at_seconds is None else "unread").inc()
            self.transport.abort()

    def _stalled_seconds(self) -> float:
        """Return for how long the client has neither sent what it owes nor read what it is sent."""
        if self._blocked_at_seconds is not None:
            return self.loop.time() - self._blocked_at_seconds
        return self.loop.time() - self._progress_at_seconds if self._is_callers_turn() else 0.0

    def _is_callers_turn(self) -> bool:
        """Tell whether more of a request is to come. Between requests uvicorn's own keep-alive timer runs."""
        if self.timeout_keep_alive_task is not None or self.flow.read_paused:
            return False
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body


def _mistake_in(url: bytes, headers: Sequence[tuple[bytes, bytes]], http_version: str) -> ApiError | None:
    if url.count(b"&") >= MAX_PARAMETERS:
        return invalid("query", TOO_MANY_PARAMETERS, limit=MAX_PARAMETERS)
    names = [name for name, _ in headers]
    for name in _SINGLE_HEADERS:
        if names.count(name) > 1:
            return invalid(name.decode().title(), REPEATED)
    return invalid("Host", NO_HOST) if b"host" not in names and http_version == "1.1" else None


class QuietServer(uvicorn.Server):
    """uvicorn's server, asleep until it is told to end; its own looks ten times a second whether it was."""

    _ends: asyncio.Event | None = None
    _loop: asyncio.AbstractEventLoop
    _should_exit = False

    @property
    def should_exit(self) -> bool:
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        """True if the server should exit; may be set by a signal handler, or by another thread."""
        self._should_exit = value
        if value and self._ends is not None:
            self._loop.call_soon_threadsafe(self._ends.set)

    async def main_loop(self) -> None:
        self._loop, self._ends = asyncio.get_running_loop(), asyncio.Event()
        while not await self.on_tick(0):  # it renews the header `Date` too
            await event_or_timeout(self._ends, _DATE_SECONDS)


def _too_large(actual_bytes: int) -> ApiError:
    return ApiError(
        ErrorCode.PAYLOAD_TOO_LARGE, field="request", reason=HEAD_TOO_LARGE, limit=MAX_HEAD_BYTES, actual=actual_bytes
    )


SERVER_OPTIONS: Final[dict[str, Any]] = {
    "http": EnvelopeProtocol,
    "ws": "none",  # an upgrade is ignored, and the request answered as what it is without
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,  # read where they are needed, and checked: see `pipeline.runtime.client_address`
}
"""Options for `uvicorn.Config`, alike in every service."""
