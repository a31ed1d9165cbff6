"""The ledger of an app as its pages show it: of what was sent in the last day, how much can be read, and the rest.

A reading serves all who look at the app for a while, so that many views of a page cost one count.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pipeline.runtime.clock import monotonic_seconds
from services.console.reading import in_a_moment

LEDGER: Final = "/console/ledger"
KEPT_SECONDS: Final = 20.0
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
        ledger = await in_a_moment(self._read(app_id))
        now = self._clock()
        self._kept = {known: kept for known, kept in self._kept.items() if now < kept[0]}
        self._kept[app_id] = (now + KEPT_SECONDS, ledger)
        return ledger
