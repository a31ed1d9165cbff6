"""Clients that want to stop the traffic of others, on raw sockets. `KINDS`: one function for each kind.

A kind does one round of what it does and returns; whoever wants more calls it again. What the service answers does not
matter to it: refusals and ended connections are expected.
"""

import gzip
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from itertools import count
from typing import Final

from odd_requests import DEAR_EVENTS, MEGABYTE, REFUSED_EVENTS

HOSTILE: Final = "127.0.0.2"
"""Address from which hostile clients connect: no trusted proxy's."""
CONNECTED: Final = "connected"
"""A hostile client says so of each connection: what it did is to be seen."""
_numbers = count()
"""A number that no text sent before holds."""


@dataclass(frozen=True)
class Hostile:
    """One hostile client. `key` reads and writes an app of its own; `size`: connections at once, about."""

    place: tuple[str, int]
    key: str
    size: int = 64
    hold_seconds: float = 2.0
    """How long connections are kept that wait for nothing."""
    on_connection: Callable[[], None] = lambda: None

    def connect(self, stack: ExitStack) -> socket.socket:
        opened = connect(stack, self.place)
        self.on_connection()
        return opened


def connect(stack: ExitStack, place: tuple[str, int], source: str = HOSTILE) -> socket.socket:
    return stack.enter_context(socket.create_connection(place, timeout=20, source_address=(source, 0)))


def get(path: str, key: str = "", headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{_authorization(key)}{headers}\r\n".encode()


def post(path: str, key: str, length: int, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{_authorization(key)}{headers}Content-Length: {length}\r\n\r\n"
    return head.encode()


def _authorization(key: str) -> str:
    return f"Authorization: Bearer {key}\r\n" if key else ""


def status_of(connection: socket.socket) -> int:
    """Return the status of one answer, read to its end."""
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def exchange(hostile: Hostile, requests: Iterable[bytes]) -> None:
    """Send the requests at once, each on a connection of its own, and read the answers."""
    with ExitStack() as stack:
        opened = []
        for request in requests:
            with suppress(OSError):
                opened.append(hostile.connect(stack))
                opened[-1].sendall(request)
        for connection in opened:
            with suppress(OSError, HTTPException):
                status_of(connection)


def withheld_bodies(hostile: Hostile) -> None:
    """Bodies without their last byte, half of them without a key, half with the key of another app."""
    body = b"x" * (MEGABYTE - 1)
    with ExitStack() as stack:
        for path, key in (("/nothing", ""), ("/v1/events/batch", hostile.key)) * hostile.size:
            with suppress(OSError):  # it is not read to its end where it is refused
                connection = hostile.connect(stack)
                connection.settimeout(0.1)
                connection.sendall(post(path, key, MEGABYTE) + body)
        time.sleep(hostile.hold_seconds)


def unread_answers(hostile: Hostile) -> None:
    """Files asked for and not read, and reads given up at once."""
    with ExitStack() as stack:
        for _ in range(hostile.size):
            with suppress(OSError):
                hostile.connect(stack).sendall(get("/docs/assets/swagger-ui-bundle.js") * 8)
        for _ in range(4):
            for path in (*_LISTS, *_REPORTS):
                with suppress(OSError), ExitStack() as given_up:
                    hostile.connect(given_up).sendall(get(path, hostile.key) * 2)
            time.sleep(hostile.hold_seconds / 4)


def large_reads(hostile: Hostile) -> None:
    """The largest lists and the dearest reports, as many at once as there may be connections."""
    paths = (*_LISTS, *_REPORTS)
    exchange(hostile, (get(paths[number % len(paths)], hostile.key) for number in range(hostile.size)))


_LISTS: Final = ("/v1/events?limit=1000", "/v1/users?limit=1000", "/v1/conversions?limit=1000")
_REPORTS: Final = (
    "/v1/reports/performance?granularity=day&dimension=campaign",
    "/v1/reports/conversion?steps=page_view,add_to_cart,purchase",
    "/v1/attribution?dimension=campaign",
)


def dear_requests(hostile: Hostile) -> None:
    """Heads and bodies that are small and cost much: each kind in turn."""
    requests = _dear_requests(hostile.key)
    exchange(hostile, (requests[number % len(requests)] for number in range(hostile.size)))


def _dear_requests(key: str) -> list[bytes]:
    bombs = [b"0" * 64 * MEGABYTE, b'{"events":[' + b"[" * MEGABYTE]
    bombs += [_batch([event] * 1000) for event in (b'{"a":[' + b",".join([b"{}"] * 1600) + b"]}", DEAR_EVENTS[0])]
    return [
        get("/v1/events", key, "".join(f"x-{number}: 1\r\n" for number in range(8_000))),
        get("/v1/events?" + "&".join(f"a{number}=" for number in range(15_000)), key),
        *(_posted(key, gzip.compress(bomb), "Content-Encoding: gzip\r\n") for bomb in bombs),
        *(_posted(key, _batch([event] * 500)) for event in REFUSED_EVENTS),
    ]


def distinct_texts(hostile: Hostile) -> None:
    """Agents, hosts and misspelt names, none of which came before."""
    exchange(hostile, (_posted(hostile.key, wordy_batch()) for _ in range(hostile.size)))


def wordy_batch() -> bytes:
    """60 events with 15 KB of a text each, 60 KB in memory, as it holds one wide character."""
    events = [_wordy_event(str(next(_numbers))) for _ in range(60)]
    return json.dumps({"events": events}, ensure_ascii=False).encode()


def _wordy_event(number: str) -> dict[str, object]:
    text = "🛒" + number + "x" * 15_000
    page = {"url": f"https://shop.example/?utm_source={number}", "referrer": f"https://{number}.example/"}
    properties = {f"revenu{number}": 1}
    return {"event_name": "page_view", "properties": properties, "context": {"user_agent": text, "page": page}}


def _posted(key: str, body: bytes, headers: str = "") -> bytes:
    return post("/v1/events/batch", key, len(body), headers) + body


def _batch(events: list[bytes]) -> bytes:
    return b'{"events":[' + b",".join(events) + b"]}"


KINDS: Final[dict[str, Callable[[Hostile], None]]] = {
    "withheld bodies": withheld_bodies,
    "unread answers": unread_answers,
    "large reads": large_reads,
    "dear requests": dear_requests,
    "distinct texts": distinct_texts,
}


def main(kind: str, port: str) -> None:
    """Be a hostile client until stopped, with a key from the environment (`ps` would show an argument) and with what
    processor time others leave: it would be another machine's."""
    os.nice(10)
    place, key = ("127.0.0.1", int(port)), os.environ["HOSTILE_KEY"]
    hostile = Hostile(place, key, on_connection=lambda: print(CONNECTED, flush=True))
    while True:
        KINDS[kind](hostile)


if __name__ == "__main__":
    main(*sys.argv[1:])
