"""Limit of the queries that one app runs at once, so that those of others have room beside them."""

from asyncio import Semaphore
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pipeline.runtime.clickhouse.client import QUERY_THREADS
from schemas.errors import ErrorCode
from services.web.errors import ApiError, Text

QUERIES_AT_ONCE: Final = QUERY_THREADS // 2
"""Queries of one app that run at once."""
MAX_WAITING: Final = 64
"""Queries of one app that wait for their turn; past it they are refused."""
_RETRY_AFTER: Final = ((b"retry-after", b"2"),)
_TOO_MANY: Final = Text(
    "该应用同时进行的查询过多，请稍后重试", "too many queries of this app run at once; try again in a moment"
)


class ConcurrencyLimit:
    """Turns of the apps. An app without queries takes no memory."""

    def __init__(self, at_once: int = QUERIES_AT_ONCE, max_waiting: int = MAX_WAITING) -> None:
        self._at_once = at_once
        self._limit = at_once + max_waiting
        self._turns: dict[str, tuple[Semaphore, int]] = {}
        """App → its turns, and how many queries have or want one."""

    @asynccontextmanager
    async def turn(self, app_id: str) -> AsyncIterator[None]:
        """Wait for a turn of the app, first come, first served. Raises `ApiError` where too many wait already."""
        turns, users = self._turns.get(app_id) or (Semaphore(self._at_once), 0)
        if users >= self._limit:
            raise ApiError(ErrorCode.RATE_LIMIT_EXCEEDED, reason=_TOO_MANY, headers=_RETRY_AFTER, limit=self._limit)
        self._turns[app_id] = turns, users + 1
        try:
            async with turns:
                yield
        finally:
            self._leave(app_id)

    def _leave(self, app_id: str) -> None:
        turns, users = self._turns.pop(app_id)
        if users > 1:
            self._turns[app_id] = turns, users - 1
