"""Parts of a process run beside each other, and none ends unnoticed."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from pipeline.runtime.lifecycle import Background, PartEnded, Stopped, run_before, run_draining, run_until, task_group


class Broken(Exception):
    pass


class Part:
    """A part that notes how it ended. `end`: what ends it."""

    def __init__(self, end: Callable[[], Awaitable[object]]) -> None:
        self.end = end
        self.ended = ""

    async def run(self) -> None:
        try:
            await self.end()
            self.ended = "returned"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


async def fail() -> None:
    raise Broken


async def return_at_once() -> None:
    pass


def waiting() -> Part:
    return Part(asyncio.Event().wait)


async def test_parts_are_cancelled_when_told_to_stop() -> None:
    stop, parts = asyncio.Event(), [waiting(), waiting()]
    running = asyncio.create_task(run_until(stop, *(part.run() for part in parts)))
    await asyncio.sleep(0)  # one turn of the loop: the run has begun
    stop.set()
    await running
    assert [part.ended for part in parts] == ["cancelled", "cancelled"]


@pytest.mark.parametrize(("end", "error"), [(fail, Broken), (return_at_once, PartEnded)])
async def test_a_part_that_ends_by_itself_ends_the_others_and_is_told(
    end: Callable[[], Awaitable[object]], error: type[Exception]
) -> None:
    other = waiting()
    with pytest.raises(error):
        await run_until(asyncio.Event(), other.run(), Part(end).run())
    assert other.ended == "cancelled"


@pytest.mark.parametrize(("end", "error"), [(fail, Broken), (return_at_once, PartEnded)])
async def test_a_part_that_ends_lets_those_that_drain_end_in_their_own_time(
    end: Callable[[], Awaitable[object]], error: type[Exception]
) -> None:
    stop = asyncio.Event()
    other = Part(stop.wait)
    with pytest.raises(error):
        await run_draining(stop, other.run(), Part(end).run())
    assert other.ended == "returned"


async def test_parts_that_drain_end_without_an_error_when_told_to() -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(run_draining(stop, Part(stop.wait).run(), Part(stop.wait).run()))
    stop.set()
    await running


async def test_work_that_is_done_first_has_its_result_and_work_that_is_not_is_cancelled() -> None:
    async def answer() -> int:
        return 7

    stop, part = asyncio.Event(), waiting()
    assert await run_before(stop, answer()) == 7
    with pytest.raises(Broken):
        await run_before(stop, fail())
    asyncio.get_running_loop().call_soon(stop.set)
    with pytest.raises(Stopped):
        await run_before(stop, part.run())
    assert part.ended == "cancelled"


async def test_a_group_raises_the_error_of_a_task_or_of_its_body_as_it_is() -> None:
    async def with_a_task(task: Part, body: Callable[[], Awaitable[object]]) -> None:
        async with task_group() as group:
            group.create_task(task.run())
            await asyncio.sleep(0)  # one turn: the task has begun
            await body()

    other = waiting()
    with pytest.raises(Broken):
        await with_a_task(Part(fail), asyncio.Event().wait)
    with pytest.raises(Broken):
        await with_a_task(other, fail)
    assert other.ended == "cancelled"


async def test_a_failure_in_the_background_is_heard_of() -> None:
    heard: list[BaseException] = []
    background = Background(heard.append)
    background.start(fail())
    part = waiting()
    background.start(part.run())
    await asyncio.sleep(0)  # one turn: both have begun
    await background.stop()
    assert [type(error) for error in heard] == [Broken]
    assert part.ended == "cancelled"
    with capture_logs() as logs:
        quiet = Background()
        quiet.start(fail())
        await quiet.wait(30)
        await asyncio.sleep(0)  # one turn: the ended task has called back
    assert [line["event"] for line in logs] == ["background_failed"]
