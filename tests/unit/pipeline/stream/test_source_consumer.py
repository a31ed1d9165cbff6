from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.runtime.settings import Settings
from pipeline.stream.app import build_app


@pytest.fixture
async def consumer(tmp_path: Path) -> Any:
    app: Any = build_app(Settings(data_dir=tmp_path), cast(Any, None))
    return app.consumer


async def test_the_broker_is_not_to_hold_a_fetch_back_for_long(consumer: Any) -> None:
    made = consumer._new_consumer_thread()._create_worker_consumer(consumer.transport)
    assert made._fetch_max_wait_ms <= 100


async def test_a_consumer_that_may_fetch_nothing_soon_looks_again(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(consumer, "sleep", sleep)
    assert await consumer._wait_next_records(1.0) == ({}, set())
    assert len(slept) == 1
    assert slept[0] <= 0.1
