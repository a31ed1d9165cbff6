"""Counters of requests, their metrics, and the one that counts in this process (`redis_counter` is the other)."""

from typing import Final, Protocol

from limits.aio.storage import MemoryStorage
from prometheus_client import Counter as Metric
from prometheus_client import Gauge

LET_THROUGH: Final = Metric(
    "attrikit_quota_uncounted_requests", "Let through uncounted because Redis did not answer, by reason", ("reason",)
)
REDIS_UP: Final = Gauge("attrikit_quota_redis_up", "Whether requests are counted in Redis; 0: let through uncounted")


class Counter(Protocol):
    async def add(self, name: str, kept_seconds: int) -> int | None:
        """Add one and say what that makes, in one step; None: it cannot be known now."""
        ...

    async def close(self) -> None: ...


class LocalCounter:
    """Counter for a single process. It waits for nothing."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()

    async def add(self, name: str, kept_seconds: int) -> int | None:
        return await self._storage.incr(name, kept_seconds)

    async def close(self) -> None:
        """Do nothing: there is nothing to end."""
