"""Fatal errors of a worker: it ends at once, and goes on from the log when it is started again."""

import os
import sys
from typing import Final

from pipeline.runtime.log import get_logger

EXIT_FATAL: Final = 70
_log = get_logger("stream.worker")


def exit_process(error: BaseException) -> None:
    """Memory may be ahead of the log: nothing of this process may reach the broker any more."""
    _log.error("worker_exits", error=repr(error), note="it will continue from the log when started again")
    sys.stderr.flush()
    os._exit(EXIT_FATAL)
