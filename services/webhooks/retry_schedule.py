"""Schedule of retries, and when to give up. Pure: the time and the random number come in.

After the first attempt, at once, come as many more as the schedule has delays: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h
after the failure before, each ±20 % so that what failed together does not come back together. A `Retry-After` that asks
for longer is obeyed, up to a day. A delivery that is put off without being tried (its endpoint is down or behind) uses
up none of the schedule, but its life is bounded too.
"""

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from schemas.webhooks import RETRY_DELAYS_MS

DEFAULT_DELAYS_SECONDS: Final = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
JITTER: Final = 0.2
LONGEST_RETRY_AFTER_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True)
class RetrySchedule:
    delays_seconds: tuple[float, ...] = DEFAULT_DELAYS_SECONDS

    @property
    def attempts(self) -> int:
        return len(self.delays_seconds) + 1

    @property
    def life_ms(self) -> int:
        """Return the longest a delivery lives from when it was queued, attempts and deferrals together."""
        return int(sum(self.delays_seconds) * (1 + JITTER) * 1000) + 2 * DEFERRALS_WHEN_DOWN_MS[-1]

    def delay_ms(self, failed_attempt: int, random_unit: float, retry_after_seconds: float | None = None) -> int | None:
        """Return how long after failed attempt `failed_attempt` (from 1) the next one is due; None: that was the
        last.

        `random_unit`: from [0, 1).
        """
        if failed_attempt >= self.attempts:
            return None
        planned = self.delays_seconds[failed_attempt - 1] * _jittered(random_unit)
        asked = min(retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        return int(max(planned, asked) * 1000)


DEFERRALS_WHEN_DOWN_MS: Final = RETRY_DELAYS_MS[2:7]
"""16 s, 64 s, 4 min, 17 min, 68 min: an endpoint that is down is found to be up again by the few that probe it."""
DEFERRALS_WHEN_BEHIND_MS: Final = RETRY_DELAYS_MS[1:4]
"""4 s, 16 s, 64 s."""


def deferral_ms(deferrals: int, is_working: bool) -> int:
    """Return how long to put off a delivery that was put off `deferrals` times before. `is_working`: the endpoint takes
    deliveries, but not as many as there are.

    Each is one of the delays of `webhook-retries`, so that it costs one move there, however much is put off. There is
    no jitter: the rate at which they were put off is the rate at which they come back.
    """
    delays = DEFERRALS_WHEN_BEHIND_MS if is_working else DEFERRALS_WHEN_DOWN_MS
    return delays[min(deferrals, len(delays) - 1)]


def parse_retry_after(header: str, now_ms: int) -> float | None:
    """Return the seconds from now in a `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3); None: it has
    none.
    """
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - now_ms / 1000)


def _jittered(random_unit: float) -> float:
    return 1 - JITTER + 2 * JITTER * random_unit
