import asyncio
import os
import time

import pytest

from schemas.control import App, Plan
from services.web.errors import ApiError
from services.web.quota import Quota, open_quota
from services.web.quota.counters import LocalCounter
from services.web.quota.redis_counter import _within

FREE = App("shop", "Shop", Plan.FREE)
DAY_MS = 86_400_000
LATE_MS = 20_000 * DAY_MS - 1


class Clock:
    def __init__(self) -> None:
        self.now_ms = LATE_MS

    def __call__(self) -> int:
        return self.now_ms


class SometimesAway(LocalCounter):
    is_away = False

    async def add(self, name: str, kept_seconds: int) -> int | None:
        return None if self.is_away else await super().add(name, kept_seconds)


async def passed(quota: Quota, requests: int, app: App = FREE) -> int:
    async def one() -> bool:
        try:
            await quota.request(app)
        except ApiError:
            return False
        return True

    return sum(await asyncio.gather(*(one() for _ in range(requests))))


async def test_a_new_day_begins_at_midnight_utc() -> None:
    clock = Clock()
    quota = Quota(LocalCounter(), clock)
    assert await passed(quota, 1_200) == 1_000
    assert await passed(quota, 10) == 0
    clock.now_ms += 1
    assert await passed(quota, 1_200) == 1_000


async def test_a_greater_plan_counts_on_from_where_the_smaller_one_ended() -> None:
    quota = Quota(LocalCounter(), Clock())
    assert await passed(quota, 1_001) == 1_000
    headers = dict(await quota.request(App("shop", "Shop", Plan.PRO)))
    assert (headers[b"ratelimit-limit"], headers[b"ratelimit-remaining"]) == (b"100000", b"98998")


async def test_validations_have_a_rate_of_their_own() -> None:
    clock = Clock()
    quota = Quota(LocalCounter(), clock)
    for _ in range(60):
        await quota.validation(FREE)
    with pytest.raises(ApiError) as refused:
        await quota.validation(FREE)
    assert refused.value.details["limit"] == 60
    assert dict(await quota.request(FREE))[b"ratelimit-remaining"] == b"999"
    clock.now_ms += 1
    await quota.validation(FREE)


async def test_while_nothing_can_be_counted_requests_pass_and_hear_the_last_known_state() -> None:
    counter = SometimesAway()
    clock = Clock()
    quota = Quota(counter, clock)
    await passed(quota, 300)
    counter.is_away = True
    assert await passed(quota, 2_000) == 2_000
    assert dict(await quota.request(FREE))[b"ratelimit-remaining"] == b"700"
    clock.now_ms += 1
    assert dict(await quota.request(FREE))[b"ratelimit-remaining"] == b"1000"


async def test_a_process_that_does_not_count(make_settings) -> None:  # type: ignore[no-untyped-def]
    assert open_quota(make_settings(count_requests=False)) is None
    assert open_quota(make_settings()) is not None


async def test_work_that_takes_too_long_is_ended() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await _within(0.01, endless())
    await asyncio.wait_for(ended.wait(), 20)


async def test_a_pause_of_this_process_is_not_taken_for_one_of_the_other() -> None:
    """The loop is blocked for many times the budget while the answer arrives."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[int] = loop.create_future()
    reader, writer = os.pipe()
    loop.add_reader(reader, lambda: answer.done() or answer.set_result(7))

    async def wait_for_answer() -> int:
        loop.call_soon(block)
        first = await answer
        await asyncio.sleep(0)
        return first

    def block() -> None:
        os.write(writer, b"x")
        time.sleep(0.15)

    assert await _within(0.05, wait_for_answer()) == 7
    loop.remove_reader(reader)
