"""Taking partitions: one at a time, cancelled whole by a rebalance, and a failure ends the process."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from structlog.testing import capture_logs

from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from pipeline.stream.fatal import EXIT_FATAL
from pipeline.stream.partition.open_stores import OpenStores
from pipeline.stream.partition.stores import MemoryStore
from pipeline.stream.worker import Worker
from schemas.control import Snapshot

LIMIT_SECONDS = 30.0


class HeldSource:
    """A control plane whose first snapshot comes when the test says so: until then a taking waits for it."""

    def __init__(self) -> None:
        self.is_loaded = False

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def current(self) -> Snapshot:
        return Snapshot({}, {}, 1)

    def refresh(self) -> bool:
        return True


class Committed:
    """Takes the offsets a worker commits."""

    def __init__(self) -> None:
        self.offsets: list[dict[int, int]] = []

    async def commit(self, offsets: dict[int, int]) -> None:
        self.offsets.append(offsets)

    def end_offset(self, _partition: int) -> int:
        return 0


class Bench:
    def __init__(self, settings: Settings, topic: str) -> None:
        self.source = HeldSource()
        self.committed = Committed()
        self.stores = {partition: MemoryStore() for partition in range(settings.partitions)}
        self.worker = Worker(settings, self.source, OpenStores(self.stores.__getitem__), topic)

    async def take(self, partitions: set[int]) -> None:
        await self.worker.take(partitions, self.committed)

    @property
    def owned(self) -> list[int]:
        return sorted(self.worker.committers.by_partition)


@pytest.fixture
async def bench(broker: str, make_settings: Callable[..., Settings]) -> AsyncIterator[Bench]:
    settings = make_settings(kafka_bootstrap=broker, worker_port=0)
    topic = f"changelog-{uuid4().hex}"
    await ensure_topics(settings)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_topics([NewTopic(topic, settings.partitions, 1, topic_configs={"cleanup.policy": "compact"})])
    await admin.close()
    made = Bench(settings, topic)
    await made.worker.start()
    yield made
    await made.worker.release()
    await made.worker.stop()


def _committer_tasks() -> list[str]:
    return sorted(task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("committer-"))


async def test_a_second_taking_ends_the_first(bench: Bench) -> None:
    first = asyncio.create_task(bench.take({0, 1}))
    second = asyncio.create_task(bench.take({1, 2}))
    await asyncio.sleep(0)
    bench.source.is_loaded = True
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.gather(first, second)
    assert bench.owned == [1, 2]
    assert _committer_tasks() == ["committer-1", "committer-2"], "one committer per partition"
    # By partition only: other tests of this broker delete records, so `events` need not begin at 0.
    assert [sorted(offsets) for offsets in bench.committed.offsets] == [[1, 2]]
    assert bench.worker.is_ready()


async def test_takings_that_meet_while_partitions_are_given_up_end_as_the_last_says(bench: Bench) -> None:
    bench.source.is_loaded = True
    async with asyncio.timeout(LIMIT_SECONDS):
        await bench.take({0, 1})
        await asyncio.gather(*(bench.take(wanted) for wanted in ({0, 1}, {0, 2}, {1, 2})))
    assert bench.owned == [1, 2]
    assert _committer_tasks() == ["committer-1", "committer-2"]
    assert sorted(bench.committed.offsets[-1]) == [1, 2]


async def test_a_revocation_during_a_taking_ends_it(bench: Bench) -> None:
    taking = asyncio.create_task(bench.take({0, 1}))
    await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT_SECONDS):
        await bench.worker.release()
        bench.source.is_loaded = True
        await taking
        assert (bench.owned, _committer_tasks(), bench.worker.is_ready()) == ([], [], False)
        await bench.take({0, 1})
    assert _committer_tasks() == ["committer-0", "committer-1"]


@pytest.mark.parametrize("steps", range(0, 60, 4))
async def test_a_taking_that_is_cancelled_anywhere_leaves_nothing_behind(bench: Bench, steps: int) -> None:
    """`steps`: turns of the loop after which the group rebalances. What is taken back afterwards works."""
    bench.source.is_loaded = True
    taking = asyncio.create_task(bench.take({0, 1, 2}))
    for _ in range(steps):
        await asyncio.sleep(0.001)
    async with asyncio.timeout(LIMIT_SECONDS):
        await bench.worker.release()
        await taking
        await bench.take({1, 2})
    assert _committer_tasks() == ["committer-1", "committer-2"]
    assert bench.worker.is_ready()


async def test_a_failure_while_partitions_are_taken_ends_the_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)

    def fail(*_args: Any) -> Any:
        raise OSError("the disk is gone")

    monkeypatch.setattr(bench.stores[1], "scan", fail)
    bench.source.is_loaded = True
    with capture_logs() as logs:
        async with asyncio.timeout(LIMIT_SECONDS):
            await bench.take({0, 1})
    assert codes == [EXIT_FATAL]
    assert ["the disk is gone" in line["error"] for line in logs if line["event"] == "worker_exits"] == [True]
    assert not bench.worker.is_ready()
