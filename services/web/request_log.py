"""One log line a request, so that its `X-Request-Id` finds it; sampled under load.

Every 5xx is logged. Of refusals (4xx) and of the rest, each second has room for a number of lines of its own, so that a
busy sender's successes do not crowd out the one refusal somebody asks about. A line says how many were left out since
the last of its kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.log import get_logger

REFUSALS_A_SECOND: Final = 50
OTHERS_A_SECOND: Final = 20
_log = get_logger("http")


@dataclass
class Sampler:
    """Room for `a_second` lines in each second of a clock. Pure: the time is passed in."""

    a_second: int
    _second: int = -1
    _used: int = 0
    _left_out: int = 0

    def take(self, now_seconds: float) -> int | None:
        """Return how many lines were left out since the last that was let through; None: this one is left out."""
        second = int(now_seconds)
        if second != self._second:
            self._second, self._used = second, 0
        if self._used >= self.a_second:
            self._left_out += 1
            return None
        self._used += 1
        left_out, self._left_out = self._left_out, 0
        return left_out


class RequestLog:
    """The lines of one process."""

    def __init__(self) -> None:
        self._refusals = Sampler(REFUSALS_A_SECOND)
        self._others = Sampler(OTHERS_A_SECOND)

    def note(self, request_id: str, status: int, **facts: object) -> None:
        """A request was answered. `status` 0: the client went away before its answer. `facts` stand on the line."""
        left_out = self.take(status)
        if left_out is not None:
            self.write(request_id, status, left_out, facts)

    def take(self, status: int) -> int | None:
        """As `Sampler.take`. Under load most requests have no line, and their facts need not be put together."""
        if status >= 500:
            return 0
        return (self._refusals if status >= 400 else self._others).take(monotonic_seconds())

    def write(self, request_id: str, status: int, left_out: int, facts: Mapping[str, object]) -> None:
        more = {"left_out": left_out} if left_out else {}
        tell = _log.warning if status >= 500 else _log.info
        tell("request", request_id=request_id, status=status, **facts, **more)


REQUEST_LOG: Final = RequestLog()
