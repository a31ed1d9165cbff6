"""Waiting for an event, with a limit."""

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from pipeline.runtime import waiting
from pipeline.runtime.waiting import event_or_timeout, until_it_works


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


async def test_what_is_away_is_waited_for_and_what_is_wrong_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_FIRST_PAUSE_SECONDS", 0.001)
    failures: list[Exception] = [OSError("away"), OSError("still away")]

    async def call() -> str:
        if failures:
            raise failures.pop(0)
        return "there"

    with capture_logs() as logs:
        assert await until_it_works(call, (OSError,), structlog.get_logger(), "broker") == "there"
        assert [line["reason"] for line in logs] == ["OSError: away", "OSError: still away"]
        failures.append(ValueError("wrong"))
        with pytest.raises(ValueError, match="wrong"):
            await until_it_works(call, (OSError,), structlog.get_logger(), "broker")
