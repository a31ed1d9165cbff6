"""Fatal errors of a worker: it ends at once, and goes on from the log when it is started again."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any, Final

from pipeline.runtime.log import get_logger

EXIT_FATAL: Final = 70
_log = get_logger("stream.worker")


def exit_process(error: BaseException) -> None:
    """Memory may be ahead of the log: nothing of this process may reach the broker any more."""
    _log.error("worker_exits", error=repr(error), note="it will continue from the log when started again")
    sys.stderr.flush()
    os._exit(EXIT_FATAL)


def start_vital(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start a task whose failure is the process's."""
    task = asyncio.create_task(work)
    task.add_done_callback(exit_on_failure)
    return task


def exit_on_failure(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        exit_process(error)
