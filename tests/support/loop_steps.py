"""What each step of an event loop takes: calls of functions, or (`make fuzz`) processor seconds of its thread."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import thread_time
from types import FrameType

from fuzzing import IS_FULL

LOOP_SECONDS = 0.005
"""Of processor time that one step of the event loop may take. Looked at by `make fuzz` alone, as every time is."""
LOOP_CALLS = 20_000
"""Of functions that one step of the event loop may make: the same on every machine, so looked at in every run."""
TRIES = 5 if IS_FULL else 1
"""Of times the least of some tries counts."""


class Steps(list[tuple[int, float]]):
    """Calls and seconds of each step."""

    def are_short(self) -> bool:
        return all(calls < LOOP_CALLS and seconds < LOOP_SECONDS for calls, seconds in self)


@contextmanager
def watched_steps() -> Iterator[Steps]:
    """Watch the steps of all event loops of this process. Clear them where a try begins."""
    found = Steps()
    run_handle = asyncio.Handle._run

    def counted(handle: asyncio.Handle) -> None:
        calls = 0

        def count(_frame: FrameType, what: str, _argument: object) -> None:
            nonlocal calls
            calls += what.endswith("call")

        sys.setprofile(count)
        try:
            run_handle(handle)
        finally:
            sys.setprofile(None)
        found.append((calls, 0.0))

    def timed(handle: asyncio.Handle) -> None:
        began = thread_time()
        run_handle(handle)
        found.append((0, thread_time() - began))

    asyncio.Handle._run = timed if IS_FULL else counted  # type: ignore[method-assign]
    try:
        yield found
    finally:
        asyncio.Handle._run = run_handle  # type: ignore[method-assign]
