"""Two clients of the embedded broker that have bells: one waits for records, the other writes them."""

import asyncio
import os
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from pipeline.runtime.bell import Bells, make_bells
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.kafka import fetch_pause
from pipeline.runtime.kafka.clients import build_consumer, build_producer, started
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.topics import Topic

PLACE = TopicPartition(Topic.EVENTS.value, 0)
HOUR_SECONDS = 3_600.0


async def send(producer: AIOKafkaProducer) -> int:
    return (await producer.send_and_wait(PLACE.topic, b"{}", partition=PLACE.partition)).offset


async def test_a_consumer_that_waits_looks_when_somebody_has_written(
    broker: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(kafka_bootstrap=broker)
    await ensure_topics(settings)
    arrivals = fetch_pause.Arrivals(monotonic_seconds())
    monkeypatch.setattr(fetch_pause, "arrivals", arrivals)
    monkeypatch.setattr(fetch_pause, "RUNG_FETCH_SECONDS", HOUR_SECONDS)
    with make_bells(["consumer"]) as bells_of:
        own = bells_of("consumer")
        fetch_pause.use_bells(str(Bells(os.dup(own.own or 0), own.all)))
        producer = build_producer(settings)
        await producer.start()
        async with asyncio.timeout(60), started(build_consumer(settings, (), None)) as consumer:
            consumer.assign([PLACE])
            await consumer.seek_to_end(PLACE)
            for _ in range(3):
                reading = asyncio.create_task(consumer.getone())
                while not arrivals._waiting:
                    await asyncio.sleep(0.01)
                sent = await send(producer)
                assert (await reading).offset == sent
        await producer.stop()
