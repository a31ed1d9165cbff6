"""Defects of aiokafka mended from outside, each for the releases that were looked at; and all that touches its private
members.

`PATCHES` lists them with their reasons. Another release than those named is left as it is: look whether it still has
the defect, then name it here or delete the patch (a test fails until that is done).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaConnectionError,
    KafkaError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.producer.sender import Sender, SendProduceReqHandler
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.commit import OffsetFetchRequest

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.kafka import fetch_pause
from pipeline.runtime.log import get_logger
from pipeline.runtime.retry import Pauses, retry

COORDINATOR_SECONDS: Final = 30.0
_COORDINATOR_PAUSES: Final = Pauses(0.1, 1.0)
_COORDINATOR_ERRORS: Final = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)
_ABORT_SECONDS: Final = 5.0
LARGE_BATCH_BYTES: Final = 256 * 1024
"""Size from which a batch is compressed beside the event loop; at it compression takes half a millisecond."""
_log = get_logger("kafka")

Method = Callable[..., Any]
_failures: ContextVar[list[str]] = ContextVar("failures of connecting")


class FetchingEnded(RuntimeError):
    """Error: a consumer fetches no more. No `KafkaError`: to read again does not help, another consumer does."""


class Patch(NamedTuple):
    """Replacement of one method. `wrap`: the method → what stands in its place. `releases`: of aiokafka, with it."""

    owner: type
    method: str
    wrap: Callable[[Method], Method]
    releases: tuple[str, ...]
    reason: str


def _check_offset_fetch(send: Method) -> Method:
    @wraps(send)
    async def send_and_check(self: Any, request: Any, *arguments: Any, **options: Any) -> Any:
        response = await send(self, request, *arguments, **options)
        code = getattr(response, "error_code", 0)
        if isinstance(request, OffsetFetchRequest) and code:
            error = for_code(code)
            if error is NotCoordinatorForGroupError and isinstance(self, GroupCoordinator):
                self.coordinator_dead()
            raise error
        return response

    return send_and_check


def _ask_again(list_offsets: Method) -> Method:
    @wraps(list_offsets)
    async def list_offsets_insistently(self: Any, *arguments: Any, **options: Any) -> Any:
        return await retry(
            lambda: list_offsets(self, *arguments, **options),
            _COORDINATOR_ERRORS,
            _log,
            "coordinator_moved",
            pauses=_COORDINATOR_PAUSES,
            seconds=COORDINATOR_SECONDS,
        )

    return list_offsets_insistently


def _note_first(set_error: Method) -> Method:
    @wraps(set_error)
    def set_first_error(self: Any, tp: Any, error: Exception) -> None:
        if tp not in self._records:
            set_error(self, tp, error)

    return set_first_error


def _say_end(fetched_records: Method) -> Method:
    @wraps(fetched_records)
    async def fetched_or_ended(self: Any, *arguments: Any, **options: Any) -> Any:
        found = await fetched_records(self, *arguments, **options)
        task = self.error_future
        if not found and task.done() and not task.cancelled() and task.exception():
            raise FetchingEnded("the consumer's fetching task has failed") from task.exception()
        return found

    return fetched_or_ended


def _pause_after_empty(fetch: Method) -> Method:
    @wraps(fetch)
    async def fetch_no_faster(self: Any, *arguments: Any) -> bool:
        arrivals = fetch_pause.arrivals
        started, rings = monotonic_seconds(), arrivals.rings
        has_records: bool = await fetch(self, *arguments)
        now = monotonic_seconds()
        if has_records:
            arrivals.note(now)
            return True
        seconds = arrivals.pause_seconds(rings, now, now - started)
        if seconds > 0:
            # As in the fetch itself: a consumer that closes cancels it and waits for it to end quietly.
            with suppress(asyncio.CancelledError):
                await arrivals.wait(seconds)
        return False

    return fetch_no_faster


def _ring_after(produce: Method) -> Method:
    @wraps(produce)
    async def produce_and_ring(self: Any, *arguments: Any) -> None:
        await produce(self, *arguments)
        fetch_pause.arrivals.ring()

    return produce_and_ring


def _note_failure(connect: Method) -> Method:
    @wraps(connect)
    async def connect_and_note(self: Any) -> Any:
        try:
            return await connect(self)
        except (OSError, KafkaError, TimeoutError) as error:
            _failures.get([]).append(f"{self.host}:{self.port}: {error or type(error).__name__}")
            raise

    return connect_and_note


def _say_why(bootstrap: Method) -> Method:
    @wraps(bootstrap)
    async def bootstrap_and_say_why(self: Any) -> None:
        failures: list[str] = []
        token = _failures.set(failures)
        try:
            await bootstrap(self)
        except KafkaConnectionError as error:
            raise KafkaConnectionError("; ".join(failures) or str(error)) from error
        finally:
            _failures.reset(token)

    return bootstrap_and_say_why


def _closed_is_broken(send: Method) -> Method:
    @wraps(send)
    def send_or_break(self: Any, *arguments: Any, **options: Any) -> Any:
        writer = self._writer
        try:
            return send(self, *arguments, **options)
        except RuntimeError as error:
            if writer is None or not writer.is_closing():
                raise
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error

    return send_or_break


def _build_in_thread(do: Method) -> Method:
    @wraps(do)
    async def build_and_do(self: Any, *arguments: Any) -> Any:
        for batch in self._batches.values():
            builder = batch._builder
            if builder._buffer is None and builder.size() > LARGE_BATCH_BYTES:
                await asyncio.to_thread(builder._build)
        return await do(self, *arguments)

    return build_and_do


_LOADING_COORDINATOR: Final = (
    "A coordinator that has just moved or started again answers OffsetFetch (version 2 and later) with no offsets and "
    "an error for the whole group. aiokafka looks at the offsets only, takes their absence for 'nothing was ever "
    "committed' and begins at the earliest record: weeks of events read again after a broker's restart. "
)
_TWO_LOOKS: Final = (
    "A partition whose leader moves while its committed offset is looked up is looked up twice at a time. Where "
    "nothing was committed, and no reset is wanted, both note the error; the second finds that of the first, fails by "
    "an assertion, and takes the task that fetches with it. Here the first one stands."
)
_NO_FETCHES: Final = (
    "A consumer whose fetching task has failed looks like one that nothing comes for: it waits for ever, without a "
    "word. Here its next read fails."
)
_CLOSED: Final = (
    "A write to a connection that was just closed raises `RuntimeError` where the event loop is uvloop's. aiokafka "
    "expects `OSError` alone, and the task that wrote ends: the one that renews its metadata, that fetches, or that "
    "sends. The client then waits for ever, without a word. Here it is a broken connection like any other."
)
_NO_REASON: Final = (
    "A client that cannot connect says 'Unable to bootstrap' and nothing of a wrong password or certificate. "
)
_EMPTY_FETCHES: Final = "The embedded broker (noida 0.2.3) does not hold an empty fetch back: see `fetch_pause`."

PATCHES: Final = (
    Patch(
        GroupCoordinator,
        "_send_req",
        _check_offset_fetch,
        ("0.14.",),
        _LOADING_COORDINATOR + "The error is raised where aiokafka knows what to do: find the coordinator, ask again.",
    ),
    Patch(
        AIOKafkaAdminClient,
        "_send_request",
        _check_offset_fetch,
        ("0.14.",),
        _LOADING_COORDINATOR + "The admin client does the same.",
    ),
    Patch(
        AIOKafkaAdminClient,
        "list_consumer_group_offsets",
        _ask_again,
        ("0.14.",),
        "It does not find the coordinator again as Kafka's own client does; here for COORDINATOR_SECONDS.",
    ),
    Patch(AIOKafkaConnection, "send", _closed_is_broken, ("0.14.",), _CLOSED),
    Patch(AIOKafkaConnection, "_send_sasl_token", _closed_is_broken, ("0.14.",), _CLOSED),
    Patch(AIOKafkaConnection, "connect", _note_failure, ("0.14.",), _NO_REASON + "Here what each broker said is kept."),
    Patch(AIOKafkaClient, "bootstrap", _say_why, ("0.14.",), _NO_REASON + "Here it is said."),
    Patch(Fetcher, "_set_error", _note_first, ("0.14.",), _TWO_LOOKS),
    Patch(Fetcher, "fetched_records", _say_end, ("0.14.",), _NO_FETCHES),
    Patch(Fetcher, "_proc_fetch_request", _pause_after_empty, ("0.14.",), _EMPTY_FETCHES),
    Patch(Sender, "_send_produce_req", _ring_after, ("0.14.",), _EMPTY_FETCHES + " The bell ends the pause."),
    Patch(
        SendProduceReqHandler,
        "do",
        _build_in_thread,
        ("0.14.",),
        "Batches are compressed in the event loop: 6 ms for 3 MB of events, all partitions of a broker in one step. "
        "Large ones are built in a thread before; the compressor lets go of the interpreter.",
    ),
)


def needed(installed: str) -> list[Patch]:
    """Return the patches for a release of aiokafka."""
    return [patch for patch in PATCHES if installed.startswith(patch.releases)]


def apply() -> None:
    """Patch the aiokafka that is installed. Once in a process: importing the package does it."""
    for patch in needed(version("aiokafka")):
        setattr(patch.owner, patch.method, patch.wrap(getattr(patch.owner, patch.method)))


class FencedProducer(AIOKafkaProducer):  # type: ignore[misc]
    """An idempotent producer that draws its id and epoch under a name, and uses no transactions.

    Once another has started under the same name and written to a partition, the broker refuses this one there with
    `ProducerFenced`.
    """

    async def start(self) -> None:
        await super().start()
        # aiokafka wants a transaction around every record of a producer that has a name; the broker does not.
        self._txn_manager.transactional_id = None


def set_fetch_waits(consumer: AIOKafkaConsumer, held_ms: int, look_ms: int) -> None:
    """Set the waits of a consumer that somebody else has built; its fetcher takes them from here when it starts.

    `held_ms`: how long the broker may hold a fetch back. `look_ms`: see `clients.FETCHER_LOOK_MS`.
    """
    consumer._fetch_max_wait_ms = held_ms
    consumer._consumer_timeout = look_ms / 1000


async def abort(producer: AIOKafkaProducer) -> None:
    """Close a producer without its `stop`, which flushes first and has no way to give up while the broker is away.

    Never raises for what cannot be closed.
    """
    producer._closed = True
    for part in (producer._sender, producer.client):
        with suppress(Exception):
            await asyncio.wait_for(part.close(), _ABORT_SECONDS)


async def newest_versions(options: dict[str, Any]) -> dict[int, int]:
    """Return the newest version of each API, by its key, that the broker which answers first takes. `options`: how to
    connect. Raises aiokafka's errors.
    """
    client = AIOKafkaClient(**options)
    try:
        await client.bootstrap()
        answer = await client.send(client.get_random_node(), ApiVersionRequest())
        return {key: newest for key, _, newest in answer.api_versions}
    finally:
        await client.close()
