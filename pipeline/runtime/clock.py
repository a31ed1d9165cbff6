"""The only room that looks at a clock (ruff's banned-api keeps it so). Edges call it and pass the time on."""

import time
from collections.abc import Callable


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def now_us() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1_000


def monotonic_seconds() -> float:
    """Return seconds for durations and deadlines; never goes back."""
    return time.monotonic()


class RisingClock:
    """Milliseconds of a clock, each reading greater than all before: what newer rows replace older ones by.

    A wall clock that is set back would else make rows that lose against those of before. `clock`: milliseconds.
    """

    def __init__(self, clock: Callable[[], int], after_ms: int = 0) -> None:
        self._clock = clock
        self._last_ms = after_ms

    def __call__(self) -> int:
        self._last_ms = max(self._clock(), self._last_ms + 1)
        return self._last_ms

    def rise_above(self, seen_ms: int) -> None:
        """Read more than `seen_ms` from now on: somebody has written that."""
        self._last_ms = max(self._last_ms, seen_ms)
