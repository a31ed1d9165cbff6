"""Waits that end: each has a limit, and says what it waited for when it is over."""

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], what: str, seconds: float = 30.0, poll_seconds: float = 0.01) -> None:
    """Return as soon as `condition()` is true. Raises `AssertionError` with `what` when the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        await asyncio.sleep(poll_seconds)
