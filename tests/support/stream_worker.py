"""A stream worker as a process under test, and what can be read of it from outside: its topics."""

import asyncio
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import TopicPartition

from deploy.local.process import ChildProcess
from pipeline.control import ControlPlane, migrate_control_plane
from pipeline.readmodel.progress import evaluate, open_reader
from pipeline.runtime.kafka.clients import build_consumer, build_producer, started
from pipeline.runtime.kafka.read_range import read_range, whole_range
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.control import App
from schemas.topics import Topic

_READ_SECONDS = 120.0


def worker_process(
    settings: Settings,
    log_path: Path,
    arguments: Sequence[str] = ("-m", "pipeline.stream"),
    environment: Mapping[str, str] | None = None,
) -> ChildProcess:
    """`python` with these arguments and settings. Not started yet; the control plane it reads must exist."""
    variables = dict(os.environ) | dict(environment or {}) | settings.as_environment()
    return ChildProcess("stream", [sys.executable, *arguments], log_path, environment=variables)


def create_control_plane(settings: Settings, *apps: App) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrate_control_plane(settings.control_plane_dsn())
    plane = ControlPlane(settings.control_plane_dsn())
    for app in apps:
        plane.create_app(app, now_ms=1)
    plane.close()


async def produce(settings: Settings, messages: Iterable[tuple[int, bytes]], topic: Topic = Topic.EVENTS) -> int:
    """Write (partition, value) to the topic, in order; returns how many, all acknowledged."""
    await ensure_topics(settings)
    producer = build_producer(settings)
    await producer.start()
    count = 0
    try:
        sent: list[Any] = []
        for partition, value in messages:
            sent.append(await producer.send(topic.value, value, partition=partition))
            count += 1
            if len(sent) >= 200:
                await asyncio.gather(*sent)
                sent = []
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return count


async def wait_until_processed(settings: Settings, worker: ChildProcess, timeout_seconds: float = 30.0) -> None:
    """Until `progress` says that all of `events` is processed and published. Raises if the worker ends before."""
    async with asyncio.timeout(timeout_seconds), open_reader(settings) as reader:
        while True:
            if not worker.is_running:
                raise AssertionError(f"the worker ended with {worker.exit_code}: {worker.log_path.read_text()[-4000:]}")
            facts = await reader.read()
            rows = [facts.reported.get(p) for p in range(settings.partitions)]
            is_through = evaluate(facts).stream_lag == 0
            if is_through and all(row is not None and not row.pending_sessions for row in rows):
                return
            await asyncio.sleep(0.1)


async def read_topic(settings: Settings, topic: Topic | str) -> list[tuple[int, int, bytes | None, bytes | None]]:
    """Everything in it now, as (partition, offset, key, value)."""
    places = [TopicPartition(str(topic), p) for p in range(settings.partitions)]
    async with started(build_consumer(settings)) as consumer, asyncio.timeout(_READ_SECONDS):
        ranges = await whole_range(consumer, places)
        batches = [records async for _, records in read_range(consumer, ranges)]
    return [(record.partition, record.offset, record.key, record.value) for records in batches for record in records]


async def read_rows(settings: Settings, topic: Topic) -> list[dict[str, Any]]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode_lines
    return [row for _, _, _, value in await read_topic(settings, topic) for row in decode(value or b"")]
