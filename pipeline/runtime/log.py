"""Structured logs: one wide line per unit of work. JSON when standard error is no terminal, or when asked for."""

import io
import logging
import sys
from contextlib import suppress
from typing import Final, TextIO, cast

import structlog

from pipeline.runtime.clock import monotonic_seconds

keep_loggers = True
"""True if a logger, once it has written, is kept as it was built (a line costs less so). Tests turn it off: a kept one
would write past `structlog.testing.capture_logs` when the log had been configured again in between.
"""


def configure_logging(process: str, level: str = "info", as_json: bool | None = None) -> None:
    """Call once per process, first thing. `process` stands on every line."""
    render_json = as_json if as_json is not None else not sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    final: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if render_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, final],
        wrapper_class=structlog.make_filtering_bound_logger(level.upper()),
        logger_factory=structlog.PrintLoggerFactory(_standard_error),
        cache_logger_on_first_use=keep_loggers,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(_standard_error)
    handler.addFilter(_OncePerOutage())
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=final, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # Each attempt of ClickHouse's client would be a line; the error of the last one says it all.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


class _StandardError(io.TextIOBase):
    """Whatever standard error is when a line is written. One that took its place for a while and was closed (when a
    command was run by a test, say) must not be the end of the thread that logs next. Nor must a line that cannot be
    written, to a disk that is full: it is left out."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


_standard_error: Final = cast(TextIO, _StandardError())


class _OncePerOutage(logging.Filter):
    """Kafka's client repeats itself ten times a second while the broker is away; each of its lines passes once in a
    while. Lines of others all pass."""

    _QUIET_SECONDS = 10.0

    def __init__(self) -> None:
        super().__init__()
        self._passed_at_seconds: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("aiokafka"):
            return True
        line, now_seconds = (record.name, str(record.msg)), monotonic_seconds()
        if now_seconds - self._passed_at_seconds.get(line, -self._QUIET_SECONDS) < self._QUIET_SECONDS:
            return False
        self._passed_at_seconds[line] = now_seconds
        return True


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=name)
    return logger
