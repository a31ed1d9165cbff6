"""A circuit breaker: an endpoint that is down is tried now and then, not with every delivery. Pure; monotonic
seconds.

Closed, everything is tried. After `FAILURES_TO_OPEN` failures in a row it opens: nothing is tried for a while, then one
delivery is let through (half-open). If it succeeds the circuit closes; if not, it opens for twice as long.

Only what says that the endpoint is unwell counts as a failure here: no connection, no answer in time, 5xx, 429. An
endpoint that answers 404 is quick to do so and costs nobody anything.

Not a library's (pybreaker, aiobreaker, purgatory): theirs open for a fixed time by a clock of their own, and would let
many probes through to an endpoint that stays down for days.
"""

from typing import Final

FAILURES_TO_OPEN: Final = 5
FIRST_OPEN_SECONDS: Final = 5.0
LONGEST_OPEN_SECONDS: Final = 600.0


class CircuitBreaker:
    def __init__(self) -> None:
        self._failures = 0
        self._open_seconds = 0.0
        self._open_until = 0.0
        self._is_probing = False

    @property
    def is_closed(self) -> bool:
        return self._open_seconds == 0.0

    def admits(self, now: float) -> bool:
        """Tell whether a delivery may be tried now. Half-open, only the first call is admitted: it must report back."""
        if self.is_closed:
            return True
        if self._is_probing or now < self._open_until:
            return False
        self._is_probing = True
        return True

    def remaining_seconds(self, now: float) -> float:
        """Return the seconds until the next one is let through."""
        return max(0.0, self._open_until - now)

    def succeeded(self) -> None:
        """Note a success; also for an answer that is no success but no sign of a failing receiver either (404, say)."""
        self._failures = 0
        self._open_seconds = 0.0
        self._is_probing = False

    def failed(self, now: float, was_probe: bool) -> None:
        """Note a failure. `was_probe`: the one let through while it was open. Others that fail then were sent before it
        opened.
        """
        self._failures += 1
        if not self.is_closed and not was_probe:
            return
        if was_probe or self._failures >= FAILURES_TO_OPEN:
            self._is_probing = False
            self._open_seconds = min(max(2 * self._open_seconds, FIRST_OPEN_SECONDS), LONGEST_OPEN_SECONDS)
            self._open_until = now + self._open_seconds

    def forget_probe(self) -> None:
        """Note that the probe was never sent."""
        self._is_probing = False
