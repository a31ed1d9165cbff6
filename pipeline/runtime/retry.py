"""Call again what has failed, after growing pauses (tenacity's); each failure is a line in the log.

For calls that are worth the same again. A wait for something to become true is in `waiting`.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, stop_never
from tenacity.wait import wait_exponential

_REASON_CHARACTERS: Final = 300
T = TypeVar("T")


class Pauses(NamedTuple):
    """Seconds before the second call, doubled each time up to the longest."""

    first_seconds: float
    longest_seconds: float


STARTING: Final = Pauses(0.25, 5.0)
"""For what a process cannot work without: whatever order the parts of an installation start in."""
SHORT: Final = Pauses(0.1, 2.0)
"""For a broker that was there a moment ago."""


async def retry(
    call: Callable[[], Awaitable[T]],
    on: tuple[type[Exception], ...],
    log: Any,
    event: str,
    *,
    pauses: Pauses = STARTING,
    seconds: float | None = None,
    on_failure: Callable[[Exception], None] | None = None,
    **facts: object,
) -> T:
    """Call until it does not raise one of `on`. Each time it does, `event` goes to the log with `facts` and the reason.

    `seconds`: how long it may go on failing; then its error is raised (None: for ever). `on_failure`: told of each.
    """

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        assert isinstance(error, Exception)
        if on_failure is not None:
            on_failure(error)
        pause_seconds = round(state.upcoming_sleep, 3)
        log.warning(event, reason=reason_of(error), retry_in_seconds=pause_seconds, **facts)

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(on),
        wait=wait_exponential(pauses.first_seconds, pauses.longest_seconds),
        stop=stop_never if seconds is None else stop_after_delay(seconds),
        before_sleep=tell,
        reraise=True,
    )

    async def attempt() -> T:  # tenacity does not await what a lambda returns
        return await call()

    return await retrying(attempt)


def reason_of(error: BaseException) -> str:
    """Return an error in words for the log, cut to a readable length."""
    return f"{type(error).__name__}: {error}"[:_REASON_CHARACTERS]
