import io
import logging
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from pipeline.runtime import log


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch):
    calm = log._OncePerOutage()

    def passes(name: str, message: str, at_seconds: float) -> bool:
        monkeypatch.setattr(log, "monotonic_seconds", lambda: at_seconds)
        return calm.filter(logging.LogRecord(name, logging.ERROR, "", 0, message, (), None))

    return passes


def test_a_repeating_kafka_client_is_heard_once_in_a_while(passes) -> None:
    line = ("aiokafka.client", "Unable to connect to %s")
    assert [passes(*line, at_seconds=at) for at in (0, 0.1, 9.9, 10, 15, 20.5)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
    assert passes("aiokafka.client", "Another line", 0.2)


def test_other_lines_always_pass(passes) -> None:
    assert all(passes("uvicorn.error", "Exception in ASGI application", at_seconds=1) for _ in range(3))


@pytest.fixture
def kept_logging():
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.contextvars.clear_contextvars()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_lines_go_to_what_is_standard_error_now(kept_logging, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    log.configure_logging("tested", as_json=True)
    ours, others = log.get_logger("room"), logging.getLogger("elsewhere")
    ours.warning("before")
    assert "before" in first.getvalue()
    first.close()
    monkeypatch.setattr(sys, "stderr", second)
    ours.warning("after")
    others.warning("after too")
    assert [line.split('"event": "')[1].split('"')[0] for line in second.getvalue().splitlines()] == [
        "after",
        "after too",
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_costs_the_line_and_nothing_else(kept_logging, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    with suppress(OSError), Path("/dev/full").open("w", buffering=1) as disk:
        monkeypatch.setattr(sys, "stderr", disk)
        log.configure_logging("tested", as_json=True)
        log.get_logger("room").warning("lost")
        logging.getLogger("elsewhere").warning("lost too")
        said.append("went on")
    assert said == ["went on"]
