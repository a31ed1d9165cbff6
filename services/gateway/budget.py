"""How many bytes the gateway may hold at once, bodies being read and records on their way together."""

from types import TracebackType

from services.gateway.metrics import IN_FLIGHT_BYTES


class Budget:
    """Counts bytes; never waits. Past the limit `take` says no, and the caller of the API is told to come back."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        IN_FLIGHT_BYTES.set_function(lambda: self._used_bytes)

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    @property
    def is_half_used(self) -> bool:
        return self._used_bytes * 2 > self._limit_bytes

    def take(self, size_bytes: int) -> bool:
        if self._used_bytes + size_bytes > self._limit_bytes:
            return False
        self._used_bytes += size_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        self._used_bytes -= size_bytes


class Overloaded(Exception):
    """Too many bytes are being held already: refuse at once, nothing was done."""


class Held:
    """The bytes one request holds, given back when it ends."""

    __slots__ = ("_budget", "_size_bytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Raises `Overloaded`."""
        if not self._budget.take(size_bytes):
            raise Overloaded
        self._size_bytes += size_bytes

    def __enter__(self) -> "Held":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.give_back(self._size_bytes)
