import asyncio

import pytest

from pipeline.stream.guard import StallGuard, StoodStill


def test_a_process_that_stood_still_longer_than_its_session_stops() -> None:
    now = [0.0]
    guard = StallGuard(lambda: now[0], 20.0)
    for now[0] in (1.0, 20.0, 39.9):
        guard.check()
    now[0] = 60.0
    with pytest.raises(StoodStill, match=r"20\.1 s"):
        guard.check()


async def test_a_slow_start_is_no_standstill() -> None:
    """The broker was away for a minute before the guard began to look."""
    now = [0.0]
    guard = StallGuard(lambda: now[0], 20.0)
    now[0] = 60.0
    running = asyncio.create_task(guard.run())
    await asyncio.sleep(0)
    guard.check()
    running.cancel()
