"""Limit of the reads that one caller has answered at once, so that those of others have room beside them."""

from asyncio import Semaphore
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from schemas.errors import ErrorCode
from services.web.errors import ApiError, Text

MAX_WAITING: Final = 64
"""Reads of one caller that wait for their turn; past it they are refused."""
_RETRY_AFTER: Final = ((b"retry-after", b"2"),)
_TOO_MANY: Final = Text(
    "该应用同时进行的查询过多，请稍后重试", "too many queries of this app run at once; try again in a moment"
)


class ConcurrencyLimit:
    """Turns of the callers: apps, or client networks. One that reads nothing takes no memory."""

    def __init__(self, at_once: int, max_waiting: int = MAX_WAITING) -> None:
        self._at_once = at_once
        self._limit = at_once + max_waiting
        self._turns: dict[str, tuple[Semaphore, int]] = {}
        """Caller → its turns, and how many reads have or want one."""

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for a turn of the caller, first come, first served. Raises `ApiError` where too many wait already."""
        turns, users = self._turns.get(caller) or (Semaphore(self._at_once), 0)
        if users >= self._limit:
            raise ApiError(ErrorCode.RATE_LIMIT_EXCEEDED, reason=_TOO_MANY, headers=_RETRY_AFTER, limit=self._limit)
        self._turns[caller] = turns, users + 1
        try:
            async with turns:
                yield
        finally:
            self._leave(caller)

    def _leave(self, caller: str) -> None:
        turns, users = self._turns.pop(caller)
        if users > 1:
            self._turns[caller] = turns, users - 1
