"""ConcurrencyLimit of reads: an app takes no more than its own, and waits in a queue with an end."""

import asyncio

import pytest

from schemas.errors import ErrorCode
from services.web.concurrency import ConcurrencyLimit
from services.web.errors import ApiError

LIMIT_SECONDS = 10


class Queries:
    """Queries that run until they are let go, in the order in which they began."""

    def __init__(self, shares: ConcurrencyLimit) -> None:
        self.shares = shares
        self.running: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._let_go: dict[str, asyncio.Event] = {}

    def ask(self, app_id: str, name: str) -> asyncio.Task[None]:
        self._let_go[name] = asyncio.Event()
        task = asyncio.create_task(self._run(app_id, name))
        self.tasks.append(task)
        return task

    def let_go(self, name: str) -> None:
        self._let_go[name].set()

    async def until(self, *running: str) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            while self.running != list(running):
                await asyncio.sleep(0)

    async def _run(self, app_id: str, name: str) -> None:
        async with self.shares.turn(app_id):
            self.running.append(name)
            await self._let_go[name].wait()
            self.running.remove(name)


async def test_one_app_leaves_room_for_another_and_is_answered_in_order() -> None:
    queries = Queries(ConcurrencyLimit(at_once=2, max_waiting=10))
    for number in range(4):
        queries.ask("large", f"large-{number}")
    await queries.until("large-0", "large-1")
    queries.ask("small", "small-0")
    await queries.until("large-0", "large-1", "small-0")
    queries.let_go("large-1")
    await queries.until("large-0", "small-0", "large-2")
    for name in ("large-0", "large-2", "large-3", "small-0"):
        queries.let_go(name)
    await asyncio.gather(*queries.tasks)
    assert queries.shares._turns == {}, "an app without queries takes no memory"


async def test_the_queue_ends_and_whoever_gives_up_leaves_it() -> None:
    queries = Queries(ConcurrencyLimit(at_once=1, max_waiting=2))
    first, second, third = (queries.ask("shop", name) for name in ("first", "second", "third"))
    await queries.until("first")
    with pytest.raises(ApiError) as refused:
        await queries.ask("shop", "fourth")
    assert (refused.value.code, refused.value.headers) == (ErrorCode.RATE_LIMIT_EXCEEDED, ((b"retry-after", b"2"),))
    second.cancel()
    await asyncio.wait([second])
    queries.ask("shop", "fifth")
    queries.let_go("first")
    await queries.until("third")
    for name in ("third", "fifth"):
        queries.let_go(name)
    await asyncio.gather(first, third, queries.tasks[-1])
    assert queries.shares._turns == {}
