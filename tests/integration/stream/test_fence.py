"""A worker that goes on where its partitions are another's by now cannot write to their changelogs any more."""

import asyncio
import random
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import stream_traffic
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import ProducerFenced
from pydantic import SecretStr
from stream_reference import IDS, fold, reference
from stream_worker import create_control_plane, produce, read_rows, read_topic, wait_until_processed, worker_process

from deploy.local.apache_kafka import KafkaBroker
from deploy.local.process import ChildProcess
from pipeline.runtime.kafka.clients import build_producer
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from pipeline.stream.fence import FENCE_KEY, Fences
from pipeline.stream.kafka_log import KafkaLog

SESSION_SECONDS = 6.0


@pytest.fixture(params=["broker", pytest.param("kafka", marks=pytest.mark.kafka)])
def shared(request: pytest.FixtureRequest, make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(kafka_bootstrap=request.getfixturevalue(request.param))


async def test_who_owned_a_partition_before_is_refused_there_and_nowhere_else(shared: Settings) -> None:
    topic = f"changelog-{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=shared.kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, shared.partitions, 1)])
    await admin.close()
    before, now, outputs = Fences(shared, topic), Fences(shared, topic), build_producer(shared)
    await outputs.start()
    try:
        assert await before.raise_for([1, 2]) == {1: 0, 2: 0}
        logs = {p: KafkaLog(outputs, before.producer(p), topic, lambda: 5) for p in (1, 2)}
        assert await logs[1].append_states(1, [(b"k", b"old"), (b"l", b"old")], []) == 2
        assert await now.raise_for([1]) == {1: 3}
        with pytest.raises(ProducerFenced):
            await logs[1].append_states(1, [(b"k", b"late")], [])
        assert await logs[2].append_states(2, [(b"k", b"mine")], []) == 1
        owner = KafkaLog(outputs, now.producer(1), topic, lambda: 5)
        assert await owner.append_states(1, [(b"k", b"new")], [b"l"]) == 5
        written = [(key, value) for p, _, key, value in await read_topic(shared, topic) if p == 1]
        old, new = [(b"k", b"old"), (b"l", b"old")], [(b"k", b"new"), (b"l", None)]
        assert written == [(FENCE_KEY, b""), *old, (FENCE_KEY, b""), *new]
    finally:
        await outputs.stop()
        await before.keep_only(())
        await now.keep_only(())


@pytest.fixture
async def settings(kafka_jars: Path, make_settings: Callable[..., Settings], tmp_path: Path) -> AsyncIterator[Settings]:
    """A broker of one's own: the topics' names are fixed. The small broker takes a minute to give up on a worker."""
    broker = KafkaBroker(tmp_path / "broker", tmp_path / "broker.log")
    broker.start()
    given = {"idle_seconds": 600, "worker_session_timeout_seconds": SESSION_SECONDS}
    made = make_settings(kafka_bootstrap=broker.bootstrap, data_dir=tmp_path / "a", **given)
    await ensure_topics(made)
    yield made
    broker.kill()


def _worker(settings: Settings, folder: Path) -> ChildProcess:
    update = {"data_dir": folder, "control_plane_url": SecretStr(settings.control_plane_dsn())}
    worker = worker_process(settings.model_copy(update=update), folder.with_suffix(".log"))
    worker.start()
    return worker


async def _until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.kafka
@pytest.mark.timeout(150)
async def test_a_worker_that_was_stopped_and_wakes_up_late_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    """It stands still in the middle of its work until the group has given its partitions to another, and wakes up."""
    create_control_plane(settings, stream_traffic.APP)
    messages = list(stream_traffic.packed(stream_traffic.events(12_000, 600, seed=9), 20, settings.partitions))

    def taken(path: Path) -> int:
        return path.read_text().count("partition_taken") if path.exists() else 0

    sleeper = _worker(settings, tmp_path / "a")
    heir: ChildProcess | None = None
    try:
        await _until(lambda: taken(tmp_path / "a.log") == settings.partitions)
        producing = asyncio.create_task(produce(settings, messages[: len(messages) // 2]))
        await asyncio.sleep(random.Random(3).random() * 0.3)  # a random instant of its work, not one we chose
        sleeper.signal(signal.SIGSTOP)
        await producing
        heir = _worker(settings, tmp_path / "b")
        await _until(lambda: taken(tmp_path / "b.log") >= settings.partitions)
        await produce(settings, messages[len(messages) // 2 :])
        sleeper.signal(signal.SIGCONT)
        await _until(lambda: not sleeper.is_running)
        assert "stood still" in (tmp_path / "a.log").read_text() or "ProducerFenced" in (tmp_path / "a.log").read_text()
        await wait_until_processed(settings, heir, 60)
        # What is in the changelog must be the heir's states: it starts again from there, and has more to do.
        heir.kill()
        shutil.rmtree(tmp_path / "b" / "stream")
        heir = _worker(settings, tmp_path / "b")
        await wait_until_processed(settings, heir, 60)
        await _assert_true(settings, messages)
    finally:
        sleeper.kill()
        if heir is not None:
            heir.kill()


async def _assert_true(settings: Settings, messages: list[tuple[int, bytes]]) -> None:
    found = fold({topic: await read_rows(settings, topic) for topic in IDS})
    expected: Any = reference(stream_traffic.APP, messages, 60)
    for topic in IDS:
        assert found[topic] == expected[topic], topic
