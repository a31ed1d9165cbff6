"""Client that sends the traffic through the gateway as careful producers do: batches and single events, keep-alive,
retries.

A request that gets no answer, or a 5xx, is sent again with the same event ids: nothing is lost, and the pipeline
recognises what came twice. Requests under way never lie further apart in arrival time than the pipeline's allowed
lateness can bear (`MAX_SPAN_MS`).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, Final

import httpx
import orjson

from deploy.demo.generator import MAX_SPAN_MS, Sending
from pipeline.runtime.log import get_logger
from pipeline.runtime.retry import SHORT, retry

_BATCH_SIZES: Final = (20, 200)
_BATCH_SPAN_MS: Final = MAX_SPAN_MS // 3
_SINGLE_RATE: Final = 0.4
"""Share of requests that carry a single event: a few in a hundred of all events."""
_log = get_logger("demo")


class PostError(RuntimeError):
    """Error: the gateway gives an answer that no retry mends, or none for too long. The run stops."""


class Form(StrEnum):
    SINGLE = "single"
    JSON = "json"
    NDJSON = "ndjson"


@dataclass(frozen=True)
class Parcel:
    """One request: the events it carries, and how it is written."""

    form: Form
    sendings: list[Sending]

    @property
    def first_ms(self) -> int:
        return self.sendings[0].arrival_ms

    @property
    def last_ms(self) -> int:
        return self.sendings[-1].arrival_ms


@dataclass
class Posted:
    """Counts of the gateway's answers, all requests together."""

    requests: int = 0
    retries: int = 0
    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    """Repeats within one batch, recognised by the gateway itself."""
    rejected: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    """Events whose answer differs from the one the generator expects."""

    def add(self, sending: Sending, status: str, code: str | None) -> None:
        self.sent += 1
        self.accepted += status == "accepted"
        self.duplicates += status == "duplicate"
        if status == "rejected":
            self.rejected[str(code)] += 1
        if code != sending.code:
            self.surprises.append(f"{sending.body.get('event_id')}: {status} {code}, expected {sending.code}")


def parcels(sendings: Iterable[Sending], seed: int) -> Iterator[Parcel]:
    """Cut the traffic into requests, in order. Pure and seeded."""
    random = Random(seed)  # noqa: S311 - repeatable on purpose, nothing secret
    form, size = _next_form(random)
    pending: list[Sending] = []
    for sending in sendings:
        if pending and (len(pending) >= size or sending.arrival_ms - pending[0].arrival_ms > _BATCH_SPAN_MS):
            yield Parcel(form, pending)
            form, size = _next_form(random)
            pending = []
        pending.append(sending)
    if pending:
        yield Parcel(form, pending)


def _next_form(random: Random) -> tuple[Form, int]:
    if random.random() < _SINGLE_RATE:
        return Form.SINGLE, 1
    return random.choice((Form.JSON, Form.NDJSON)), random.randint(*_BATCH_SIZES)


def encode(parcel: Parcel) -> tuple[str, str, bytes]:
    """Path, content type and body of the request."""
    bodies = [sending.body for sending in parcel.sendings]
    if parcel.form is Form.SINGLE:
        return "/v1/events/track", "application/json", orjson.dumps(bodies[0])
    if parcel.form is Form.NDJSON:
        return "/v1/events/batch", "application/x-ndjson", b"\n".join(map(orjson.dumps, bodies))
    return "/v1/events/batch", "application/json", orjson.dumps({"events": bodies})


def record_answer(parcel: Parcel, status_code: int, answer: dict[str, Any], posted: Posted) -> None:
    """Add the answer to the counts. Raises `PostError` if it is not what the contract allows."""
    if parcel.form is Form.SINGLE:
        code = None if status_code == 201 else answer["error"]["code"]
        posted.add(parcel.sendings[0], "rejected" if code else "accepted", code)
        return
    results = answer.get("data", {}).get("results", [])
    if status_code not in (200, 201) or len(results) != len(parcel.sendings):
        raise PostError(f"a batch of {len(parcel.sendings)} was answered {status_code}: {str(answer)[:300]}")
    for sending, result in zip(parcel.sendings, results, strict=True):
        posted.add(sending, result["status"], (result.get("error") or {}).get("code"))


class Poster:
    """Sender of requests. `client` carries the base address and the key; `patience_seconds` is how long one request may
    go unanswered.
    """

    def __init__(self, client: httpx.AsyncClient, *, concurrency: int = 4, patience_seconds: float = 60.0) -> None:
        self._client = client
        self._concurrency = concurrency
        self._patience_seconds = patience_seconds
        self.posted = Posted()

    async def post_all(self, traffic: Iterable[Parcel], on_sent: Callable[[int], object] = lambda _: None) -> Posted:
        """Post in order, a few at a time. `on_sent` is called with the number of events each answer settled."""
        under_way: dict[asyncio.Task[None], Parcel] = {}
        try:
            for parcel in traffic:
                while under_way and not self._may_join(parcel, under_way.values()):
                    await _one_done(under_way, on_sent)
                under_way[asyncio.create_task(self._post(parcel))] = parcel
            while under_way:
                await _one_done(under_way, on_sent)
        finally:
            for task in under_way:
                task.cancel()
        return self.posted

    def _may_join(self, parcel: Parcel, others: Iterable[Parcel]) -> bool:
        others = list(others)
        return len(others) < self._concurrency and parcel.last_ms - min(p.first_ms for p in others) <= MAX_SPAN_MS

    async def _post(self, parcel: Parcel) -> None:
        path, content_type, body = encode(parcel)
        response = await retry(
            lambda: self._try(path, content_type, body),
            (PostError,),
            _log,
            "demo_posts_again",
            pauses=SHORT,
            seconds=self._patience_seconds,
            on_failure=self._count_retry,
        )
        if response.status_code not in (200, 201, 400):
            raise PostError(f"POST {path} was answered {response.status_code}: {response.text[:300]}")
        self.posted.requests += 1
        record_answer(parcel, response.status_code, response.json(), self.posted)

    async def _try(self, path: str, content_type: str, body: bytes) -> httpx.Response:
        """Try a request once. Raises `PostError` if it is to be sent again."""
        try:
            response = await self._client.post(path, content=body, headers={"Content-Type": content_type})
        except httpx.TransportError as error:
            raise PostError(f"no answer to POST {path}: {type(error).__name__}") from error
        if response.status_code >= 500:
            raise PostError(f"POST {path} was answered {response.status_code}")
        return response

    def _count_retry(self, _error: Exception) -> None:
        self.posted.retries += 1


async def _one_done(under_way: dict[asyncio.Task[None], Parcel], on_sent: Callable[[int], object]) -> None:
    done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        parcel = under_way.pop(task)
        task.result()
        on_sent(len(parcel.sendings))
