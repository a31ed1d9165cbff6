"""Waiting for an event, but not for ever; and for what a process cannot work without, for as long as it takes."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 5.0
T = TypeVar("T")


async def event_or_timeout(event: asyncio.Event, at_most_seconds: float | None) -> bool:
    """Return whether the event is set; at the latest when the time is over (None: it never is).

    Not `asyncio.wait_for`: in Python 3.11 it swallows a cancellation that comes in the same turn of the loop as the
    event, and the task that was cancelled goes on.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(at_most_seconds):
            await event.wait()
    return event.is_set()


async def until_it_works(
    call: Callable[[], Awaitable[T]], retried: tuple[type[Exception], ...], log: Any, waiting_for: str
) -> T:
    """Call until it does not raise one of `retried`, with growing pauses; each failure is a line in the log.

    For what a process cannot work without: it is waited for, whatever order the parts of an installation start in.
    """
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await call()
        except retried as error:
            log.warning("waiting", waiting_for=waiting_for, reason=f"{type(error).__name__}: {error}"[:300])
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
