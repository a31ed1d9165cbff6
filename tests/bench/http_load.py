"""A closed-loop HTTP/1.1 load generator: N keep-alive connections, each sending its next request when answered.

Written on asyncio's Protocol because a client library costs more CPU than the gateway it would measure, and both
share the machine's cores here.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast


@dataclass
class LoadResult:
    seconds: float
    latencies_ms: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def requests_per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds

    def percentile_ms(self, percent: int) -> float:
        return statistics.quantiles(self.latencies_ms, n=100)[percent - 1]


def request_bytes(path: str, key: str, body: bytes, content_type: str = "application/json") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], result: LoadResult, done: asyncio.Future[None]) -> None:
        self._requests, self._result, self._done = requests, result, done
        self._buffer = bytearray()
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only
        self._send_next()

    def _send_next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._buffer[:head_end]).lower()
        start = head.index(b"content-length:") + 15
        end = head.find(b"\r\n", start)
        length = int(head[start : end if end > 0 else None])
        if len(self._buffer) < head_end + 4 + length:
            return
        self._record(int(head[9:12]))
        del self._buffer[: head_end + 4 + length]
        self._send_next()

    def _record(self, status: int) -> None:
        self._result.latencies_ms.append((time.perf_counter() - self._sent_at) * 1000)
        self._result.statuses[status] = self._result.statuses.get(status, 0) + 1

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed the connection"))


async def run_load(
    host: str, port: int, connections: int, make_request: Callable[[int], bytes], count: int
) -> LoadResult:
    """Send `count` requests, `make_request(i)` each, over `connections` connections; every answer is timed."""
    requests = (make_request(i) for i in range(count))
    result = LoadResult(0.0)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    finished: list[asyncio.Future[None]] = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        finished.append(done)
        await loop.create_connection(lambda done=done: _Connection(requests, result, done), host, port)
    await asyncio.gather(*finished)
    result.seconds = time.perf_counter() - started
    return result
