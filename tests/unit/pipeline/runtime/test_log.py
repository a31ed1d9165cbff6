import logging

import pytest

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
