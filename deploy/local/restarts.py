"""Limit on how often a service that ends by design is restarted. Pure."""

from collections import deque
from typing import Final

LIMIT: Final = 5
WINDOW_SECONDS: Final = 600.0
LONGEST_DELAY_SECONDS: Final = 30.0


class Restarts:
    """Restart limit: at most `LIMIT` in `WINDOW_SECONDS`, each after twice the time of the one before: 1 s, 2 s, 4 s
    …
    """

    def __init__(self) -> None:
        self._at_seconds: deque[float] = deque()

    def next_delay_seconds(self, now_seconds: float) -> float | None:
        """Note a restart and return the wait before it, in seconds; None: it has ended too often."""
        while self._at_seconds and now_seconds - self._at_seconds[0] > WINDOW_SECONDS:
            self._at_seconds.popleft()
        if len(self._at_seconds) >= LIMIT:
            return None
        self._at_seconds.append(now_seconds)
        return float(min(2 ** (len(self._at_seconds) - 1), LONGEST_DELAY_SECONDS))
