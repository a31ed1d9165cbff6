"""Window of a request, and the meaning of its count. Pure: the time comes in.

Header fields as in draft-ietf-httpapi-ratelimit-headers-03: `RateLimit-Reset` is a number of seconds, as `Retry-After`.
"""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from schemas.control import App, Plan
from schemas.errors import ErrorCode
from services.web.errors import ApiError, Text

REQUESTS_A_DAY: Final[dict[Plan, int]] = {Plan.FREE: 1_000, Plan.PRO: 100_000}
"""Plans that are not here have no limit."""
VALIDATIONS_A_SECOND: Final = 60
"""Validations a second of an app on a limited plan. They store nothing, so they cost no part of the day's requests."""

DAY_MS: Final = 24 * 3600 * 1000
_SECOND_MS: Final = 1000
_CLOCKS_DIFFER_SECONDS: Final = 3600
"""A counter outlives its window by this, for processes whose clock is behind."""

Headers = tuple[tuple[bytes, bytes], ...]


class Window(NamedTuple):
    """A span of time and what one app may do in it. Every process names the same window the same."""

    name: str
    plan: Plan
    limit: int
    ends_at_ms: int

    def kept_seconds(self, now_ms: int) -> int:
        """Return how long its counter is of use."""
        return self.reset_seconds(now_ms) + _CLOCKS_DIFFER_SECONDS

    def reset_seconds(self, now_ms: int) -> int:
        """Whole seconds until it ends, at least 1."""
        return max(-((now_ms - self.ends_at_ms) // 1000), 1)


def is_limited(app: App) -> bool:
    return app.plan in REQUESTS_A_DAY


def day_of(app: App, now_ms: int) -> Window:
    """The UTC day. `app` is limited."""
    start_ms = now_ms - now_ms % DAY_MS
    day = datetime.fromtimestamp(start_ms // 1000, UTC).strftime("%Y-%m-%d")
    return Window(f"requests/{app.app_id}/{day}", app.plan, REQUESTS_A_DAY[app.plan], start_ms + DAY_MS)


def second_of_validations(app: App, now_ms: int) -> Window:
    """`app` is limited."""
    return second_of("validations", app, VALIDATIONS_A_SECOND, now_ms)


def second_of(what: str, app: App, limit: int, now_ms: int) -> Window:
    """The second, of `limit` requests of the kind `what`."""
    start_ms = now_ms - now_ms % _SECOND_MS
    return Window(f"{what}/{app.app_id}/{start_ms // _SECOND_MS}", app.plan, limit, start_ms + _SECOND_MS)


def headers_of(window: Window, used: int, now_ms: int) -> Headers:
    """`used`: requests of the window so far, this one included."""
    return (
        (b"ratelimit-limit", b"%d" % window.limit),
        (b"ratelimit-remaining", b"%d" % max(window.limit - used, 0)),
        (b"ratelimit-reset", b"%d" % window.reset_seconds(now_ms)),
    )


def judge(window: Window, used: int, now_ms: int, reason: Text | None = None) -> Headers:
    """The headers of any answer to the request that made it `used`; raises RATE_LIMIT_EXCEEDED past the limit, for a
    `reason` where it is not the plan's.
    """
    headers = headers_of(window, used, now_ms)
    if used <= window.limit:
        return headers
    reset_at = datetime.fromtimestamp(window.ends_at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    raise ApiError(
        ErrorCode.RATE_LIMIT_EXCEEDED,
        reason=reason,
        headers=(*headers, (b"retry-after", b"%d" % window.reset_seconds(now_ms))),
        limit=window.limit,
        plan=window.plan.value,
        reset_at=reset_at,
    )
