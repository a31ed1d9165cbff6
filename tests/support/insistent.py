"""A client as we tell people to write one: every request that is not answered 2xx goes out again, with the same ids."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from random import Random
from typing import Any

from lean_http import Answer, Connection
from waiting import until

_LONGEST_PAUSE_SECONDS = 0.5
_ANSWER_SECONDS = 60.0
_CONFIRMED_SECONDS = 180.0
"""The longest that one request may take to be confirmed, with all its tries."""


@dataclass
class Seen:
    """Counts of the client's answers and failures."""

    confirmed: set[str] = field(default_factory=set)
    """Ids of events in requests that were answered 2xx."""
    confirmed_twice: set[str] = field(default_factory=set)
    """Events confirmed by two gateways."""
    answers: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    bad_refusals: list[str] = field(default_factory=list)
    """500s that are not as the contract says."""
    slowest_refusal_seconds: float = 0.0
    under_way: Counter[int] = field(default_factory=Counter)
    """Requests without an answer yet, by port."""


class Gate:
    """Holds every client before its next batch once `limit` events are confirmed."""

    def __init__(self, seen: Seen, limit: float) -> None:
        self._seen = seen
        self.limit = limit

    @property
    def is_reached(self) -> bool:
        return len(self._seen.confirmed) >= self.limit

    async def passed(self) -> None:
        await until(lambda: not self.is_reached, "the gate opens", _CONFIRMED_SECONDS, 0.002)


class InsistentClient:
    """One of many; it goes on to another port whenever it gets no 2xx."""

    def __init__(self, ports: list[int], key: str, seen: Seen, gate: Gate, seed: int) -> None:
        self._random = Random(seed)
        connections = [Connection(port, key) for port in ports]
        self._random.shuffle(connections)
        self._connections = connections
        self._turns = cycle(connections)
        self._connection = next(self._turns)
        self._seen = seen
        self._gate = gate

    async def report(self, batches: list[list[dict[str, Any]]], twice_share: float) -> None:
        """`twice_share`: of the requests, that go to another gateway too once the first has confirmed them."""
        for events in batches:
            await self._gate.passed()
            ids = {event["event_id"] for event in events}
            await self._insist(events)
            self._seen.confirmed |= ids
            if self._random.random() < twice_share:
                self._connection = next(self._turns)
                await self._insist(events)
                self._seen.confirmed_twice |= ids
        for connection in self._connections:
            connection.close()

    async def _insist(self, events: list[dict[str, Any]]) -> None:
        """A single event goes to `track`, more to `batch`."""
        path = "track" if len(events) == 1 else "batch"
        content = events[0] if len(events) == 1 else {"events": events}
        async with asyncio.timeout(_CONFIRMED_SECONDS):
            while not await self._try("/v1/events/" + path, content):
                self._connection = next(self._turns)
                await asyncio.sleep(self._random.uniform(0.05, _LONGEST_PAUSE_SECONDS))

    async def _try(self, path: str, content: Any) -> bool:
        began = time.monotonic()
        port = self._connection.port
        self._seen.under_way[port] += 1
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await self._connection.post(path, content)
        except (OSError, EOFError):
            self._seen.unanswered += 1
            return False
        finally:
            self._seen.under_way[port] -= 1
        self._seen.answers[answer.status] += 1
        if answer.status == 500:
            self._note_refusal(answer, time.monotonic() - began)
        return answer.status in (200, 201)

    def _note_refusal(self, answer: Answer, seconds: float) -> None:
        self._seen.slowest_refusal_seconds = max(self._seen.slowest_refusal_seconds, seconds)
        error = json.loads(answer.body)["error"]
        if error["code"] != "SERVER_ERROR" or not answer.headers.get("retry-after", "").isdigit():
            self._seen.bad_refusals.append(f"{answer.headers} {answer.body!r}")
