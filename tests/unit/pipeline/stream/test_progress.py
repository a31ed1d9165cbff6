import asyncio
from typing import Any

import msgspec
import pytest
from waiting import until

from pipeline.stream import progress
from pipeline.stream.progress import ProgressReporter
from schemas.facts import ProgressRow


class Producer:
    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []

    async def send(self, _topic: str, value: bytes, partition: int) -> Any:
        self.sent.append((partition, msgspec.json.decode(value)["next_offset"]))
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


def _row(partition: int, next_offset: int) -> ProgressRow:
    return ProgressRow(partition, next_offset, 0, 0, {}, 0)


async def test_under_load_only_the_newest_row_of_a_partition_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "COALESCE_SECONDS", 0.05)
    producer = Producer()
    reporter = ProgressReporter(producer)  # type: ignore[arg-type]
    task = asyncio.create_task(reporter.run())
    for offset in range(50):
        reporter.report(_row(0, offset), at_once=False)
        reporter.report(_row(1, offset), at_once=False)
        await asyncio.sleep(0)
    await until(lambda: len(producer.sent) >= 2, "both partitions are reported", 20)
    assert sorted(producer.sent) == [(0, 49), (1, 49)]
    task.cancel()


async def test_a_partition_with_nothing_left_to_do_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "COALESCE_SECONDS", 3_600.0)
    producer = Producer()
    reporter = ProgressReporter(producer)  # type: ignore[arg-type]
    task = asyncio.create_task(reporter.run())
    reporter.report(_row(0, 7), at_once=False)
    await asyncio.sleep(0.01)
    reporter.report(_row(0, 8), at_once=True)
    await until(lambda: producer.sent, "the partition is reported", 20)
    assert producer.sent == [(0, 8)]
    task.cancel()


async def test_a_partition_given_up_is_not_reported() -> None:
    producer = Producer()
    reporter = ProgressReporter(producer)  # type: ignore[arg-type]
    reporter.report(_row(0, 7), at_once=False)
    reporter.report(_row(1, 7), at_once=False)
    reporter.drop({0})
    await reporter.flush()
    assert producer.sent == [(1, 7)]
