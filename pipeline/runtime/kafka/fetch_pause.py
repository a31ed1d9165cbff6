"""Pause of a consumer after a fetch that brought nothing.

Apache Kafka holds a fetch back while there is nothing new; the embedded broker (noida 0.2.3) answers at once, and
aiokafka asks again at once, hundreds of times a second, on the processors of both. So a consumer that got nothing waits
before it asks again: `pause_seconds`, longer the longer this process has received nothing. A record that comes to any
consumer of the process ends the waits of all of them, since what one consumer reads often makes work for another. After
a fetch that the broker held back, as Apache Kafka does, there is no wait. Where the processes tell each other of
records they have written (`use_bells`), a consumer waits for that, and no pause has to grow step by step.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

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

    def ring(self) -> None:
        """Tell the other processes that this one has written records."""
        if self.bells is not None:
            self.bells.ring()

    @contextmanager
    def _registered(self) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._waiting[event] = asyncio.get_running_loop()
        try:
            yield event
        finally:
            del self._waiting[event]


arrivals = Arrivals(monotonic_seconds())
"""Arrivals of this process."""


def use_bells(text: str) -> None:
    """Ring from now on for what this process writes, and look for records when others ring: see `Bells`. Once in a
    process; nothing changes if the text is empty."""
    bells = Bells.parse(text)
    if bells is not None:
        arrivals.bells = bells
        bells.listen(arrivals.heard)
