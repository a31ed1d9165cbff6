"""The ledger of an app as its pages show it: of what was sent in the last day, how much can be read, and the rest.

A reading serves all who look at the app for a while, so that many views of a page cost one count.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.log import get_logger
from services.console.reading import ReadFailed

LEDGER: Final = "/console/ledger"
KEPT_SECONDS: Final = 20.0
_TIMEOUT_SECONDS: Final = 3.0
"""A page does not wait for it any longer: it says that the ledger cannot be read."""
_log = get_logger("console")
Read = Callable[[str], Awaitable[dict[str, Any]]]
"""App id → the answer of `LEDGER`. Raises `ReadFailed`."""


class Ledgers:
    """Reader of ledgers, by app. A failure is kept as long as an answer."""

    def __init__(self, read: Read, clock: Callable[[], float] = monotonic_seconds) -> None:
        self._read = read
        self._clock = clock
        self._kept: dict[str, tuple[float, dict[str, Any] | None]] = {}

    async def of(self, app_id: str) -> dict[str, Any] | None:
        """Return the ledger of the app; None: it cannot be read now."""
        until, ledger = self._kept.get(app_id, (0.0, None))
        if self._clock() < until:
            return ledger
        ledger = await self._reading(app_id)
        now = self._clock()
        self._kept = {known: kept for known, kept in self._kept.items() if now < kept[0]}
        self._kept[app_id] = (now + KEPT_SECONDS, ledger)
        return ledger

    async def _reading(self, app_id: str) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                return await self._read(app_id)
        except (ReadFailed, TimeoutError) as error:
            _log.warning("ledger_unreadable", app_id=app_id, error=str(error) or type(error).__name__)
            return None
