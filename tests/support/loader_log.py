"""A log for the loader to read: rows to send, loaders to run on it, and what readers see afterwards."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import GroupCoordinatorNotAvailableError

from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.settings import Settings
from schemas.events import AcceptedEvent, encode_event
from services.loader.app import Loader

FACTS = ("events", "sessions", "touches", "conversions", "attributions", "event_marks", "rejected", "progress")


class Running(NamedTuple):
    loader: Loader
    task: asyncio.Task[None]


class Log:
    """The log the loader reads, and the loaders reading it."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, admin: AIOKafkaAdminClient) -> None:
        self.settings = settings
        self._producer = producer
        self._admin = admin
        self.end: dict[tuple[str, int], int] = {}

    async def send(self, topic: str, value: bytes, partition: int = 0) -> int:
        sent = await self._producer.send_and_wait(topic, value, partition=partition)
        self.end[(topic, partition)] = sent.offset + 1
        return int(sent.offset)

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete records as retention does."""
        await self._admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(offset)})

    async def committed(self, group: str) -> dict[tuple[str, int], int]:
        try:
            offsets = await self._admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:  # a fresh Apache Kafka makes its offsets topic first
            return {}
        return {(tp.topic, tp.partition): meta.offset for tp, meta in offsets.items() if meta.offset >= 0}

    async def is_loaded(self, group: str) -> bool:
        """Tell whether everything sent through this object is committed."""
        committed = await self.committed(group)
        return all(committed.get(place, 0) >= offset for place, offset in self.end.items())

    @asynccontextmanager
    async def loading(self, clickhouse: ClickHouse, group: str, **settings: Any) -> AsyncIterator[Running]:
        """A loader in this process; it is stopped orderly at the end."""
        stop = asyncio.Event()
        loader = Loader(self.settings.model_copy(update=settings), clickhouse, group)
        task = asyncio.create_task(loader.run(stop))
        try:
            yield Running(loader, task)
        finally:
            stop.set()
            await task

    async def load(self, clickhouse: ClickHouse, group: str, **settings: Any) -> None:
        """Everything sent so far."""
        async with self.loading(clickhouse, group, **settings) as running:
            await until(lambda: self.is_loaded(group), running)


async def until(condition: Callable[[], Awaitable[bool]], running: Running | None = None, seconds: float = 60) -> None:
    """Wait for a condition, but not for one that a dead loader can no longer bring about."""
    async with asyncio.timeout(seconds):
        while not await condition():
            if running is not None and running.task.done():
                running.task.result()
                raise AssertionError("the loader ended by itself")
            await asyncio.sleep(0.05)


def random_events(seed: int, rows: int, app_id: str = "app") -> bytes:
    """Packed events as the gateway writes them, a few of them repeats."""
    rng = random.Random(seed)
    lines = [
        encode_event(
            AcceptedEvent(
                app_id=app_id,
                event_id=f"evt_{seed}_{rng.randrange(rows)}",
                event_name=rng.choice(["page_view", "purchase", "add_to_cart"]),
                timestamp_ms=1_700_000_000_000 + rng.randrange(10_000_000),
                received_us=1_700_000_000_000_000 + index,
                user_id=f"u{rng.randrange(50)}",
                properties=msgspec.Raw(b'{"revenue":%d,"title":"\xe9\xa6\x96\xe9\xa1\xb5"}' % rng.randrange(1_000)),
            )
        )
        for index in range(rows)
    ]
    return b"\n".join(lines)


async def dump(clickhouse: ClickHouse, tables: tuple[str, ...] = FACTS) -> dict[str, bytes]:
    """Every row a reader sees, in one order."""
    return {table: await clickhouse.query_bytes(f"SELECT * FROM {table} FINAL ORDER BY ALL") for table in tables}
