"""Send one call over HTTP: to an allowed address, within its time, reading no more than the head of the answer.

Where the checks are: `_socket_for` is called with every address just before it is connected to, whether it came from a
name, a literal or an odd notation, so what DNS said earlier does not matter. Connections that are kept were checked
when they were made. No proxies, cookies, credentials or redirects; certificates are verified.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from pipeline.runtime.client_address import Network, parse_networks
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.settings import WebhookCallSettings
from services.webhook_calls import call_errors
from services.webhook_calls.addresses import refusal_of_address, refusal_of_url

MAX_RESPONSE_BYTES: Final = 4_096
_KEPT_HEAD_CHARACTERS: Final = 1_024
_MAX_INFORMATIONAL: Final = 16
"""Limit on 1xx answers before the final one. aiohttp takes any number, at the price of a processor until the
timeout.
"""
_LOOKUPS_AT_ONCE: Final = 32
_DNS_CACHE_SECONDS: Final = 10
_KEEP_ALIVE_SECONDS: Final = 30.0
USER_AGENT: Final = "AttriKit-Webhooks/1"


@dataclass(frozen=True)
class Reply:
    """Result of a call. `status` 0: without an answer."""

    status: int
    error: str
    """Error of the call; empty: it was a success."""
    duration_ms: int
    head: str = ""
    retry_after: str = ""

    @property
    def is_success(self) -> bool:
        return not self.error

    @property
    def is_unwell(self) -> bool:
        """True if the answer says that the receiver is down or overloaded, rather than that it did not like this
        call.
        """
        return not self.is_success and (self.status == 0 or self.status == 429 or self.status >= 500)


class AddressRefused(OSError):
    """Error: the address is not one we connect to."""


class Sender:
    """HTTP sender. `resolver`: for tests; by default the system's, in threads of its own, so that a slow name holds up
    no other.
    """

    def __init__(self, settings: WebhookCallSettings, resolver: AbstractResolver | None = None) -> None:
        self._allowed = parse_networks(settings.webhook_allowed_networks)
        self._seconds = settings.webhook_timeout_seconds
        self._connect_seconds = settings.webhook_connect_seconds
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._resolver = self._resolver or SystemResolver()
        connector = aiohttp.TCPConnector(
            limit=0,  # bounded by the concurrency of each endpoint
            resolver=self._resolver,
            ttl_dns_cache=_DNS_CACHE_SECONDS,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            ssl=ssl.create_default_context(),
            socket_factory=lambda info: _socket_for(info, self._allowed),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._seconds, sock_connect=self._connect_seconds),
            auto_decompress=False,
            trust_env=False,
            response_class=_Response,
            headers={"User-Agent": USER_AGENT, "Accept": "*/*"},
            skip_auto_headers=["Accept-Encoding"],
        )

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Post a call. Never raises for what the receiver or the network do."""
        started = monotonic_seconds()
        refusal = refusal_of_url(url, self._allowed)
        if refusal:
            return Reply(0, str(call_errors.URL_REFUSED.filled(refusal=refusal)), 0)
        try:
            async with asyncio.timeout(self._seconds):
                status, head, retry_after = await self._exchange_over_living(url, headers, body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Reply(0, describe(error, self._seconds), _since_ms(started))
        return Reply(status, _error_of(status), _since_ms(started), head, retry_after)

    async def _exchange_over_living(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, str]:
        """Exchange over a kept connection. The other end may close it just when it is used again, which says nothing
        about the receiver, so the call gets one more chance on another.
        """
        try:
            return await self._exchange(url, headers, body)
        except aiohttp.ClientConnectorError:
            raise  # it was a new one
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            return await self._exchange(url, headers, body)

    async def _exchange(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, str]:
        assert self._session is not None
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            head = await _read_head(response)
            if not response.content.at_eof():
                response.close()  # the rest is not wanted, so the connection cannot be kept
            return response.status, head, response.headers.get("Retry-After", "")


class _Response(aiohttp.ClientResponse):
    """Response that may come after at most `_MAX_INFORMATIONAL` informational ones."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        await super().start(_CountedConnection(connection))  # type: ignore[arg-type]
        self._protocol, self._connection = connection.protocol, connection
        return self


class _CountedConnection:
    """Stands before a connection, with its protocol counted."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self.protocol = _Counted(target.protocol)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


class _Counted:
    """Stands before a protocol whose messages are read a limited number of times: then `read` raises `ClientError`."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._reads_left = _MAX_INFORMATIONAL + 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    async def read(self) -> Any:
        if not self._reads_left:
            raise aiohttp.ClientPayloadError(f"more than {_MAX_INFORMATIONAL} informational (1xx) answers")
        self._reads_left -= 1
        return await self._target.read()


def describe(error: Exception, seconds: float) -> str:
    """Describe an error in words for the log. Never holds the body or a secret."""
    if isinstance(error, TimeoutError):
        return str(call_errors.TIMEOUT.filled(seconds=f"{seconds:g}"))
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return str(call_errors.TLS.filled(error=error))[:300]
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return str(call_errors.DNS.filled(error=error.os_error))[:300]
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = str(error.os_error)
        return (inner if "address refused" in inner else str(call_errors.CONNECTION.filled(error=inner)))[:300]
    return str(call_errors.CONNECTION.filled(error=f"{type(error).__name__}: {error}"))[:300]


async def _read_head(response: aiohttp.ClientResponse) -> str:
    data = b""
    while len(data) < MAX_RESPONSE_BYTES:
        part = await response.content.read(MAX_RESPONSE_BYTES - len(data))
        if not part:
            break
        data += part
    text = data.decode("utf-8", "replace").replace("\x00", "\ufffd")
    return text[:_KEPT_HEAD_CHARACTERS]


def _error_of(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return str(call_errors.REDIRECT.filled(status=status))
    return f"HTTP {status}"


def _since_ms(started_seconds: float) -> int:
    return int((monotonic_seconds() - started_seconds) * 1000)


def _socket_for(info: Any, allowed: Sequence[Network]) -> socket.socket:
    """Open a socket for the address in `info`, as `getaddrinfo` gives them; raises `AddressRefused`."""
    family, kind, protocol, _, address = info
    refusal = refusal_of_address(str(address[0]), allowed)
    if refusal:
        raise AddressRefused(str(call_errors.ADDRESS_REFUSED.filled(refusal=refusal)))
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


class SystemResolver(AbstractResolver):
    """Resolver that runs `getaddrinfo` in a pool of threads of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._pool, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=found_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found_family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
