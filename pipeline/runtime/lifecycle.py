"""Run the parts of a process: beside each other, until it is told to stop, and to a known end.

A part that ends by itself, or fails, ends the process: without it the others would look alive and do half the work.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Set
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from pipeline.runtime.log import get_logger

T = TypeVar("T")
Work = Coroutine[Any, Any, Any]
_log = get_logger("lifecycle")


class Stopped(Exception):
    """Error: told to stop before the work was done."""


class PartEnded(Exception):
    """Error: a part that runs until it is told to stop has ended before."""


async def cancel(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel the tasks, and return when they have ended, however they did."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def run_before(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end. Where `stop` is set first, cancel it and raise `Stopped`."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Stopped
        return working.result()
    finally:
        await cancel(working, stopping)


async def run_until(stop: asyncio.Event, *parts: Work) -> None:
    """Run parts that know no end until `stop` is set; then cancel them. Raises the error of the first that fails, and
    `PartEnded` for one that returns."""

    async def side_by_side() -> None:
        async with task_group() as group:
            for part in parts:
                group.create_task(_endless(part))

    with suppress(Stopped):
        await run_before(stop, side_by_side())


async def run_draining(stop: asyncio.Event, *parts: Work) -> None:
    """Run parts that end by themselves once `stop` is set, at their own pace. Where one ends before, `stop` is set for
    the others. Raises the first error, or `PartEnded`."""
    errors: list[Exception] = []

    async def run(part: Work) -> None:
        try:
            await _endless(part, stop)
        except Exception as error:
            errors.append(error)
        finally:
            stop.set()

    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(run(part))
    if errors:
        raise errors[0]


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """`asyncio.TaskGroup`, which raises the first error as it is: one failure ends all, and is the one to tell."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _endless(part: Work, stop: asyncio.Event | None = None) -> None:
    await part
    if stop is None or not stop.is_set():
        raise PartEnded(_name(part))


def _name(work: Work) -> str:
    return getattr(work, "__qualname__", repr(work))


class Background:
    """Tasks that run beside their owner, from its start to its stop.

    `on_failure` hears of the first of them that fails; without it, the log does.
    """

    def __init__(self, on_failure: Callable[[BaseException], None] | None = None) -> None:
        self._on_failure = on_failure or _tell
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def tasks(self) -> Set["asyncio.Task[Any]"]:
        """Tasks that still run."""
        return self._tasks

    def start(self, work: Work) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work, name=_name(work))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def wait(self, at_most_seconds: float) -> None:
        """Wait for those that run now."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=at_most_seconds)

    async def stop(self) -> None:
        """Cancel all, and return when they have ended."""
        await cancel(*self._tasks)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_failure(error)


def _tell(error: BaseException) -> None:
    _log.error("background_failed", error=repr(error))
