"""The ledger of an app as its pages show it: of what was sent in the last day, how much can be read, and the rest.

A reading serves all who look at the app for a while, so that many views of a page cost one count. After that the kept
one is shown while the next is read: it says of which day it tells, and only the first to look waits.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.lifecycle import Background
from services.console.reading import in_a_moment

LEDGER: Final = "/console/ledger"
KEPT_SECONDS: Final = 20.0
"""Age at which a reading is read again."""
SHOWN_SECONDS: Final = 600.0
"""Age at which a reading is no longer shown."""
Read = Callable[[str], Awaitable[dict[str, Any]]]
"""App id → the answer of `LEDGER`. Raises `ReadFailed`."""


@dataclass(frozen=True)
class _Reading:
    at: float
    ledger: dict[str, Any] | None


class Ledgers:
    """Reader of ledgers, by app, one read at a time for each. A failure is kept as long as an answer."""

    def __init__(self, read: Read, clock: Callable[[], float] = monotonic_seconds) -> None:
        self._read = read
        self._clock = clock
        self._kept: dict[str, _Reading] = {}
        self._reading: dict[str, asyncio.Task[_Reading]] = {}
        self._background = Background()

    async def of(self, app_id: str) -> dict[str, Any] | None:
        """Return the ledger of the app; None: it cannot be read now."""
        kept, now = self._kept.get(app_id), self._clock()
        if kept and now < kept.at + KEPT_SECONDS:
            return kept.ledger
        reading = self._reading.get(app_id) or self._start_reading(app_id)
        if kept and kept.ledger and now < kept.at + SHOWN_SECONDS:
            return kept.ledger
        return (await asyncio.shield(reading)).ledger  # others may wait for it too

    async def stop(self) -> None:
        """End the reads that are under way."""
        await self._background.stop()

    def _start_reading(self, app_id: str) -> asyncio.Task[_Reading]:
        task = self._reading[app_id] = self._background.start(self._keep(app_id))
        task.add_done_callback(lambda _: self._reading.pop(app_id))
        return task

    async def _keep(self, app_id: str) -> _Reading:
        ledger = await in_a_moment(self._read(app_id))
        now = self._clock()
        self._kept = {known: kept for known, kept in self._kept.items() if now < kept.at + SHOWN_SECONDS}
        reading = self._kept[app_id] = _Reading(now, ledger)
        return reading
