"""The queue of retries without a broker: what is under way when it ends."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition

from pipeline.runtime.settings import Settings
from schemas.topics import Topic
from schemas.webhooks import Delivery, EventType, encode_delivery
from services.webhooks.retry_queue import RetryQueue

PLACE = TopicPartition(Topic.WEBHOOK_RETRIES.value, 1)


class Producer:
    """Acknowledges when it may."""

    def __init__(self) -> None:
        self.asked: list[Topic] = []
        self.gate = asyncio.Event()

    async def put(self, topic: Topic, _partition: int, _line: bytes) -> None:
        self.asked.append(topic)
        await self.gate.wait()


class Reader:
    """One record, and then nothing more."""

    def __init__(self, value: bytes) -> None:
        self.commits: list[dict[TopicPartition, tuple[int, str]]] = []
        self._records = [SimpleNamespace(value=value, topic=PLACE.topic, partition=PLACE.partition, offset=41)]

    def pause(self, _partition: TopicPartition) -> None: ...

    def resume(self, _partition: TopicPartition) -> None: ...

    async def read(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        if not self._records:
            await asyncio.Event().wait()
        return {PLACE: [self._records.pop()]}

    async def commit(self, positions: dict[TopicPartition, tuple[int, str]]) -> None:
        self.commits.append(positions)


@pytest.fixture
def room(make_settings: Any) -> tuple[RetryQueue, Producer, Reader]:
    settings: Settings = make_settings()
    delivery = Delivery(
        delivery_id="msg_1",
        endpoint_id="whe_1",
        app_id="shop",
        event_type=EventType.CONVERSION_CREATED.value,
        fact_id="cnv_1",
        order_key="u:1",
        created_at_ms=1,
        data=msgspec.Raw(b"{}"),
        queued_at_ms=1,
    )
    producer, reader = Producer(), Reader(encode_delivery(delivery))
    made = RetryQueue(settings, producer)  # type: ignore[arg-type]
    made.reader = reader  # type: ignore[assignment]
    return made, producer, reader


async def test_a_move_that_has_begun_is_committed_before_it_ends(room: tuple[RetryQueue, Producer, Reader]) -> None:
    """Else the next process would move it once more, and the receiver would have it twice."""
    waiting, producer, reader = room
    running = asyncio.create_task(waiting.run())
    async with asyncio.timeout(5):
        while not producer.asked:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.sleep(0)  # the cancellation has reached it
        assert not running.done()
        producer.gate.set()
        await asyncio.wait([running])
    assert running.cancelled()
    assert producer.asked == [Topic.WEBHOOK_DELIVERIES]
    assert reader.commits == [{PLACE: (42, "")}]


async def test_a_broker_that_is_away_does_not_keep_it_from_ending(
    room: tuple[RetryQueue, Producer, Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.webhooks.retry_queue._LAST_MOVE_SECONDS", 0.01)
    waiting, producer, reader = room
    running = asyncio.create_task(waiting.run())
    async with asyncio.timeout(5):
        while not producer.asked:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()
    assert reader.commits == []
