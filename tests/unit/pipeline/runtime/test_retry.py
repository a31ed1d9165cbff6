"""Retries: what is tried again, for how long, and what the log says."""

from collections.abc import Awaitable, Callable

import pytest
import structlog
from structlog.testing import capture_logs

from pipeline.runtime.retry import Pauses, retry

AT_ONCE = Pauses(0.0, 0.0)


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    """A call that raises these, one after the other, and then returns."""
    left = list(errors)

    async def call() -> str:
        if left:
            raise left.pop(0)
        return "there"

    return call


async def test_what_is_away_is_called_again_and_each_failure_is_told() -> None:
    told: list[Exception] = []
    with capture_logs() as logs:
        call = failing(OSError("away"), OSError("still away"))
        log = structlog.get_logger()
        found = await retry(call, (OSError,), log, "waiting", pauses=AT_ONCE, on_failure=told.append, waiting_for="it")
    assert found == "there"
    assert [(line["event"], line["reason"], line["waiting_for"]) for line in logs] == [
        ("waiting", "OSError: away", "it"),
        ("waiting", "OSError: still away", "it"),
    ]
    assert len(told) == 2


async def test_the_pauses_double_up_to_the_longest() -> None:
    with capture_logs() as logs:
        call = failing(*[OSError("away")] * 4)
        await retry(lambda: call(), (OSError,), structlog.get_logger(), "waiting", pauses=Pauses(0.001, 0.003))
    assert [line["retry_in_seconds"] for line in logs] == [0.001, 0.002, 0.003, 0.003]


async def test_what_is_wrong_is_raised() -> None:
    with pytest.raises(ValueError, match="wrong"):
        await retry(failing(ValueError("wrong")), (OSError,), structlog.get_logger(), "waiting")


async def test_the_last_error_is_raised_when_the_time_is_over() -> None:
    with pytest.raises(OSError, match="away"):
        await retry(failing(OSError("away")), (OSError,), structlog.get_logger(), "waiting", seconds=0.0)
