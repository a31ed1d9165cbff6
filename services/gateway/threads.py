"""Long computing in a thread beside the event loop, which answers others meanwhile.

One thread, so that large bodies wait for each other and not everybody for all of them. The interpreter passes its lock
between threads every few milliseconds (`SWITCH_SECONDS` in the gateway's process).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

SWITCH_SECONDS: Final = 0.001
P = ParamSpec("P")
T = TypeVar("T")
_thread: Final = ThreadPoolExecutor(1, "large-bodies")


async def compute(is_long: bool, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """The result of `function`, a pure one; computed here and now unless `is_long`."""
    if not is_long:
        return function(*given, **named)
    return await asyncio.get_running_loop().run_in_executor(_thread, lambda: function(*given, **named))
