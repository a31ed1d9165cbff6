"""The only room that looks at a clock (ruff's banned-api keeps it so). Edges call it and pass the time on."""

import time


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def now_us() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1_000


def monotonic_seconds() -> float:
    """For durations and deadlines; never goes back."""
    return time.monotonic()
