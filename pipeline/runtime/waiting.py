"""Wait for an event, but not for ever."""

import asyncio
from contextlib import suppress


async def event_or_timeout(event: asyncio.Event, at_most_seconds: float | None) -> bool:
    """Return whether the event is set; at the latest when the time is over (None: it never is).

    Not `asyncio.wait_for`: in Python 3.11 it swallows a cancellation that comes in the same turn of the loop as the
    event, and the task that was cancelled goes on.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(at_most_seconds):
            await event.wait()
    return event.is_set()
