"""Notices that this process stood still for so long that the group may have given its partitions to another.

A stopped or starved process cannot send heartbeats; when it goes on, it must not write as if nothing had happened. What
was on its way already is kept out of the changelog by the broker (`fence`).
"""

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

_TICK_SECONDS: Final = 1.0


class StoodStill(RuntimeError):
    """Longer than the session timeout. Stop and start again: another worker may own the partitions now."""


class StallGuard:
    """`clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float], limit_seconds: float) -> None:
        self._clock = clock
        self._limit_seconds = limit_seconds
        self._last_seen = clock()

    def check(self) -> None:
        """Raise `StoodStill` if the last check is further back than the limit."""
        now = self._clock()
        gap_seconds = now - self._last_seen
        if gap_seconds > self._limit_seconds:
            raise StoodStill(
                f"the process stood still for {gap_seconds:.1f} s; the group may have moved its partitions"
            )
        self._last_seen = now

    async def run(self) -> NoReturn:
        """Count from here on: a process that is slow to start has no partitions yet."""
        self._last_seen = self._clock()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.check()
