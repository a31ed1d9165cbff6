"""A token bucket: a number of attempts a second, of which a second's worth may come at once. Pure; monotonic
seconds.

Not the library `limits`, which counts requests for the quotas: its windows tell whether one more may pass, not how long
to wait for it.
"""


class RateLimiter:
    """Token bucket. `per_second` 0: no limit."""

    def __init__(self, per_second: float, now: float) -> None:
        self.per_second = per_second
        self._tokens = self._capacity
        self._at = now

    def take(self, now: float) -> float:
        """Take a token; return the seconds to wait before using it."""
        if not self.per_second:
            return 0.0
        self._tokens = min(self._capacity, self._tokens + (now - self._at) * self.per_second) - 1
        self._at = now
        return max(0.0, -self._tokens / self.per_second)

    @property
    def _capacity(self) -> float:
        return max(1.0, self.per_second)
