"""A counter of requests in a Redis that several processes share. Imported only where there is one: its client looks for
OpenTelemetry's SDK and loads it where it is installed.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pipeline.runtime.lifecycle import cancel
from pipeline.runtime.log import get_logger
from services.web.quota.counters import LET_THROUGH, REDIS_UP

_SLOW: Final = LET_THROUGH.labels("slow")
_FAILED: Final = LET_THROUGH.labels("failed")
_AWAY: Final = LET_THROUGH.labels("away")

_FAILURES_TO_OPEN: Final = 3
_PROBE_SECONDS: Final = 1.0
_SLICES: Final = 5
_CONNECTIONS: Final = 32
_log = get_logger("quota")
T = TypeVar("T")


class RedisCounter:
    """`limits` over Redis, with a time budget and a breaker.

    A request waits for Redis `budget_seconds` at most. After three failures in a row nothing waits any more until a
    probe in the background has had an answer, so an outage costs a request nothing.
    """

    def __init__(self, url: str, budget_seconds: float, probe_seconds: float = _PROBE_SECONDS) -> None:
        """`url`: `redis://[user:password@]host:port/database`, or `rediss://`, `unix://`."""
        self._budget_seconds = budget_seconds
        self._probe_seconds = probe_seconds
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=budget_seconds,
            retry=Retry(NoBackoff(), 0),  # a repeated increment would count twice
        )
        options: dict[str, Any] = {"connection_pool": self._pool}
        self._storage = RedisStorage("async+" + url, implementation="redispy", key_prefix="attrikit", **options)
        self._failures = 0
        self._probe: asyncio.Task[None] | None = None
        REDIS_UP.set(1)

    @property
    def is_away(self) -> bool:
        return self._probe is not None

    async def add(self, name: str, kept_seconds: int) -> int | None:
        if self.is_away:
            _AWAY.inc()
            return None
        try:
            count = await _within(self._budget_seconds, self._storage.incr(name, kept_seconds))
        except TimeoutError as error:
            _SLOW.inc()
            self._fail(error)
            return None
        except (RedisError, OSError) as error:
            _FAILED.inc()
            self._fail(error)
            return None
        self._failures = 0
        return count

    async def close(self) -> None:
        if self._probe is not None:
            await cancel(self._probe)
        await self._pool.disconnect()

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        if self._failures >= _FAILURES_TO_OPEN and self._probe is None:
            REDIS_UP.set(0)
            # Not its words: they may hold the address with its password.
            _log.warning("quota_redis_away", error=type(error).__name__)
            self._probe = asyncio.create_task(self._until_back())

    async def _until_back(self) -> None:
        while True:
            await asyncio.sleep(self._probe_seconds)
            try:
                is_back = await _within(self._probe_seconds, self._storage.check())
            except (TimeoutError, RedisError, OSError):
                is_back = False
            if is_back:
                break
        self._failures = 0
        self._probe = None
        REDIS_UP.set(1)
        _log.info("quota_redis_back")


async def _within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or `TimeoutError`.

    The time is waited in slices, each after a look at what has arrived: when this process itself was held up, the
    answer that came meanwhile is found instead of being taken for late.
    """
    task = asyncio.ensure_future(work)
    try:
        for _ in range(_SLICES):
            done, _ = await asyncio.wait({task}, timeout=seconds / _SLICES)
            if done:
                return task.result()
        raise TimeoutError
    finally:
        task.cancel()
