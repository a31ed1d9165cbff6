"""Three defects mended from outside. Importing `pipeline.runtime.kafka` applies them, for Faust too.

aiokafka 0.14: a group coordinator that has just moved or started again answers an OffsetFetch (version 2 and later)
with no offsets and an error for the whole group, "still loading" or "not mine". aiokafka looks at the offsets only,
takes their absence for "nothing was ever committed" and begins at the earliest record: weeks of events read again after
a broker's restart. Here the error is raised where aiokafka already knows what to do with it: wait, find the
coordinator, ask again.

The same of its admin client's `list_consumer_group_offsets`: here it finds the coordinator and asks again, as Kafka's
own client does, for as long as `COORDINATOR_SECONDS`.

The small broker 0.2.3: Apache Kafka holds a fetch back while there is nothing new; this one answers at once, and
aiokafka asks again at once, hundreds of times a second, on the processors of both. Here a consumer that got nothing
waits before it asks again: `pause_seconds`, longer the longer this process has received nothing. A record that comes to
any consumer of the process ends the waits of all of them, since what one consumer reads often makes work for another.
After a fetch that the broker held back, as Apache Kafka does, there is no wait. Where the processes tell each other of
records they have written (`use_bells`), a consumer waits for that, and no pause has to grow step by step.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.producer.sender import Sender
from aiokafka.protocol.commit import OffsetFetchRequest

from pipeline.runtime.bell import Bells
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.waiting import event_or_timeout

EMPTY_FETCH_SECONDS: Final = 0.02
"""The shortest time between two fetches of which the first was empty."""
IDLE_FETCH_SECONDS: Final = 1.0
"""The longest."""
RUNG_FETCH_SECONDS: Final = 3.0
"""The longest where a bell says that there are records: one may be written by a process that has no bells."""
_IDLE_SHARE: Final = 0.2
COORDINATOR_SECONDS: Final = 30.0
_COORDINATOR_PAUSE_SECONDS: Final = 0.1
_COORDINATOR_ERRORS: Final = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)

_send_req = GroupCoordinator._send_req


async def _send_and_check(self: Any, request: Any) -> Any:
    response = await _send_req(self, request)
    if isinstance(request, OffsetFetchRequest):
        code = getattr(response, "error_code", 0)
        if code:
            error = for_code(code)
            if error is NotCoordinatorForGroupError:
                self.coordinator_dead()
            raise error
    return response


_send_admin_request = AIOKafkaAdminClient._send_request


async def _send_admin_request_and_check(self: Any, request: Any, *arguments: Any, **options: Any) -> Any:
    response = await _send_admin_request(self, request, *arguments, **options)
    code = getattr(response, "error_code", 0)
    if isinstance(request, OffsetFetchRequest) and code:
        raise for_code(code)
    return response


_list_offsets = AIOKafkaAdminClient.list_consumer_group_offsets


async def _list_offsets_insistently(self: Any, *arguments: Any, **options: Any) -> Any:
    deadline = monotonic_seconds() + COORDINATOR_SECONDS
    while True:
        try:
            return await _list_offsets(self, *arguments, **options)
        except _COORDINATOR_ERRORS:
            if monotonic_seconds() > deadline:
                raise
        await asyncio.sleep(_COORDINATOR_PAUSE_SECONDS)


def pause_seconds(idle_seconds: float, fetch_seconds: float) -> float:
    """Between an empty fetch, which took `fetch_seconds`, and the next one: a fifth of the time since the last record,
    within bounds; none after a fetch that was held back. Pure."""
    if fetch_seconds >= EMPTY_FETCH_SECONDS:
        return 0.0
    return min(max(EMPTY_FETCH_SECONDS, _IDLE_SHARE * idle_seconds), IDLE_FETCH_SECONDS) - fetch_seconds


class Arrivals:
    """Time when a record last came to a consumer of this process, and the waits that the next one ends. Consumers may
    run in several threads, each with an event loop of its own.
    """

    def __init__(self, now_seconds: float) -> None:
        self._last_seconds = now_seconds
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self.bells: Bells | None = None
        self.rings = 0
        """Number of rings this process has noticed."""

    def idle_seconds(self, now_seconds: float) -> float:
        return now_seconds - self._last_seconds

    def note(self, now_seconds: float) -> None:
        """A record has come."""
        self._last_seconds = now_seconds
        self._end_waits()

    def heard(self) -> None:
        """A process has written records."""
        self.rings += 1
        self._end_waits()

    def _end_waits(self) -> None:
        for event, loop in list(self._waiting.items()):
            with suppress(RuntimeError):  # its loop was closed meanwhile
                loop.call_soon_threadsafe(event.set)

    def pause_seconds(self, rings_before: int, now_seconds: float, fetch_seconds: float) -> float:
        """Return the pause before the next fetch, after an empty one that took `fetch_seconds`.

        `rings_before`: `rings` when it began; a record may have been written since.
        """
        if self.bells is None:
            return pause_seconds(self.idle_seconds(now_seconds), fetch_seconds)
        return RUNG_FETCH_SECONDS if rings_before == self.rings else max(0.0, EMPTY_FETCH_SECONDS - fetch_seconds)

    async def wait(self, at_most_seconds: float) -> None:
        """Return when a record comes to any consumer, or when the time is over."""
        with self._registered() as event:
            await event_or_timeout(event, at_most_seconds)

    @contextmanager
    def _registered(self) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._waiting[event] = asyncio.get_running_loop()
        try:
            yield event
        finally:
            del self._waiting[event]


_arrivals: Final = Arrivals(monotonic_seconds())
_fetch = Fetcher._proc_fetch_request


async def _fetch_no_faster(self: Any, *arguments: Any) -> bool:
    started, rings = monotonic_seconds(), _arrivals.rings
    has_records: bool = await _fetch(self, *arguments)
    now = monotonic_seconds()
    if has_records:
        _arrivals.note(now)
        return True
    seconds = _arrivals.pause_seconds(rings, now, now - started)
    if seconds > 0:
        # As in the fetch itself: a consumer that closes cancels it and waits for it to end quietly.
        with suppress(asyncio.CancelledError):
            await _arrivals.wait(seconds)
    return False


_produce = Sender._send_produce_req


async def _produce_and_ring(self: Any, *arguments: Any) -> None:
    await _produce(self, *arguments)
    if _arrivals.bells is not None:
        _arrivals.bells.ring()


def use_bells(text: str) -> None:
    """Ring from now on for what this process writes, and look for records when others ring: see `Bells`. Once in a
    process; nothing changes if the text is empty."""
    bells = Bells.parse(text)
    if bells is not None:
        _arrivals.bells = bells
        bells.listen(_arrivals.heard)


def apply() -> None:
    """Applying it again changes nothing."""
    GroupCoordinator._send_req = _send_and_check
    AIOKafkaAdminClient._send_request = _send_admin_request_and_check
    AIOKafkaAdminClient.list_consumer_group_offsets = _list_offsets_insistently
    Fetcher._proc_fetch_request = _fetch_no_faster
    Sender._send_produce_req = _produce_and_ring
