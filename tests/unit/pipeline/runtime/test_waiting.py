"""Waiting for an event, with a limit."""

import asyncio

import pytest

from pipeline.runtime.waiting import event_or_timeout


async def test_an_event_that_is_set_ends_the_wait_and_so_does_the_time() -> None:
    event = asyncio.Event()
    assert not await event_or_timeout(event, 0.001)
    event.set()
    async with asyncio.timeout(5):
        assert await event_or_timeout(event, None)


async def test_a_cancellation_that_comes_with_the_event_is_not_swallowed() -> None:
    event = asyncio.Event()

    async def work() -> None:
        while True:
            event.clear()
            await event_or_timeout(event, 5.0)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    event.set()
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task
