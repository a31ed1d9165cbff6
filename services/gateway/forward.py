"""Forward everything the gateway does not answer itself to the query service, so that one port serves the whole API."""

from collections.abc import Iterable
from functools import partial
from typing import Final

import httpx
from starlette.types import Receive, Scope, Send

from pipeline.runtime.log import get_logger
from services.gateway.bodies import read_coded_body
from services.gateway.errors import ClientGone
from services.gateway.metrics import FORWARD_FAILURES
from services.gateway.request_edge import RETRY_SECONDS, reply_to, send_reply
from services.gateway.request_head import CALL, Call
from services.gateway.snapshots import Snapshots, note_app
from services.web.budget import Budget, Held, payer_of
from services.web.client_disconnect import CallerGone, answer_unless_gone
from services.web.concurrency import ConcurrencyLimit
from services.web.errors import BrokenAnswer, Text, invalid, no_path, server_error
from services.web.quota import API_PREFIX

_TIMEOUT: Final = httpx.Timeout(60.0, connect=2.0, pool=2.0)
_LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20)
_HOP_BY_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    }
)
"""Headers of one connection, which end with it (RFC 9110, section 7.6.1)."""
_OURS: Final = _HOP_BY_HOP | {
    b"content-length",  # of the body that is sent, which may be none
    b"expect",
    b"host",
    b"x-request-id",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
}
MAX_BODY_BYTES: Final = 1024 * 1024
FORWARDED_AT_ONCE: Final = 16
"""Requests of one app that are forwarded at once. To pass one on takes the event loop some milliseconds: all that a
client's connections carry, at once, would keep everybody's events waiting."""
NOT_A_PATH: Final = Text("路径包含无效字符", "the path holds characters that no URL has")
NOT_A_HEADER: Final = Text("请求头包含无效字符", "a header holds characters that none may hold")
_log = get_logger("gateway")

Headers = list[tuple[bytes, bytes]]


class Forwarder:
    """A reverse proxy to `base_url`. Answers are passed on as they come. A body is read first: connections to the query
    service are few, and a caller who takes its time must not hold one meanwhile. One that comes without a valid key is
    not read at all: no endpoint that takes a body does without a key."""

    def __init__(
        self, base_url: str, budget: Budget, snapshots: Snapshots, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`budget`: for the bodies being read. `snapshots`: whose they are."""
        self._budget = budget
        self._snapshots = snapshots
        self._concurrency = ConcurrencyLimit(FORWARDED_AT_ONCE)
        self._base = httpx.URL(base_url)
        # No proxies or credentials from the environment, no redirects followed: what comes is what goes.
        self._client = httpx.AsyncClient(
            timeout=_TIMEOUT, limits=_LIMITS, transport=transport, trust_env=False, follow_redirects=False
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def fetch_openapi(self) -> dict[str, object]:
        """Fetch the query service's own document; raises `httpx.HTTPError` or `ValueError` where there is none."""
        response = await self._client.get(self._base.join("/openapi.json"), timeout=2.0)
        response.raise_for_status()
        document: dict[str, object] = response.json()
        return document

    async def read(self, path: bytes, call: Call) -> httpx.Response:
        """Return the query service's answer to the caller of `call` at `path`; raises `httpx.HTTPError` while it is
        away.
        """
        headers = [(b"authorization", call.authorization), (b"x-request-id", call.request_id.encode())]
        return await self._client.get(self._base.copy_with(raw_path=path), headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call: Call = scope[CALL]
        if not scope["path"].startswith(API_PREFIX):  # what it tells operators is for those who can reach it
            await send_reply(reply_to(no_path(), call), send)
            return
        app_id = note_app(call, self._snapshots)
        payer = payer_of(app_id, call.ip)
        with Held(self._budget, payer) as held:
            body = await read_coded_body(call, receive, MAX_BODY_BYTES, held) if app_id else b""
            try:
                request = self._request(scope, body, call)
                in_turn = partial(self._in_turn, payer.app_id or payer.network or "", request)
                await answer_unless_gone(in_turn, scope, receive, send)
            except CallerGone:
                raise ClientGone from None

    async def _in_turn(self, caller: str, request: httpx.Request, scope: Scope, _receive: Receive, send: Send) -> None:
        async with self._concurrency.turn(caller):
            await self._pass_on(request, scope, send)

    async def _pass_on(self, request: httpx.Request, scope: Scope, send: Send) -> None:
        call: Call = scope[CALL]
        try:
            response = await self._client.send(request, stream=True)
        except httpx.LocalProtocolError:
            raise invalid("headers", NOT_A_HEADER) from None  # its words hold the header, a key perhaps
        except httpx.HTTPError as error:
            FORWARD_FAILURES.inc()
            _log.warning("query_away", request_id=call.request_id, error=f"{type(error).__name__}: {error}")
            await send_reply(reply_to(server_error(RETRY_SECONDS), call), send)
            return
        try:
            await _relay(response, send)
        finally:
            await response.aclose()

    def _request(self, scope: Scope, body: bytes, call: Call) -> httpx.Request:
        url = self._url(scope["raw_path"], scope["query_string"])
        headers = _request_headers(scope, call)
        request = self._client.build_request(scope["method"], url, headers=headers, content=body or None)
        _undo_additions(request, scope)
        return request

    def _url(self, path: bytes, query: bytes) -> httpx.URL:
        try:
            url = self._base.copy_with(raw_path=path + b"?" + query if query else path)
        except (httpx.InvalidURL, UnicodeDecodeError):
            raise invalid("path", NOT_A_PATH) from None
        if url.raw_path.partition(b"?")[0] != path:
            raise no_path()  # what is sent must be what was checked
        return url


def _request_headers(scope: Scope, call: Call) -> Headers:
    given: Headers = [(name, value) for name, value in scope["headers"] if name not in _OURS]
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    given.append((b"x-request-id", call.request_id.encode()))
    given.append((b"x-forwarded-for", call.ip.encode()))
    given.append((b"x-forwarded-proto", str(scope.get("scheme", "http")).encode()))
    given.append((b"x-forwarded-host", host))
    return given


def _undo_additions(request: httpx.Request, scope: Scope) -> None:
    """Take out what httpx adds of its own: the query service should see the caller's request."""
    names = {name for name, _ in scope["headers"]}
    for name in (b"transfer-encoding", b"accept", b"accept-encoding", b"user-agent"):
        if name not in names:
            request.headers.pop(name.decode(), None)


async def _relay(response: httpx.Response, send: Send) -> None:
    """Pass the answer on as it comes."""
    headers = _response_headers(response.headers.raw)
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    try:
        async for chunk in response.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except httpx.HTTPError as error:
        raise BrokenAnswer(f"{type(error).__name__}: {error}") from error
    await send({"type": "http.response.body", "body": b""})


def _response_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    dropped = _HOP_BY_HOP | {b"x-request-id", b"date", b"server"}
    return [(name.lower(), value) for name, value in raw if name.lower() not in dropped]
