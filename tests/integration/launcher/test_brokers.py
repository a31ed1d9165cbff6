"""Brokers of the launcher keep what was acknowledged, and committed offsets, over stops and kills."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from deploy.local.apache_kafka import KafkaBroker
from deploy.local.broker import Broker, NoidaBroker
from deploy.local.trim import trim
from pipeline.runtime.kafka.clients import build_consumer, build_producer
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.topics import LOADER_GROUP, STREAM_GROUP, Topic

PLACE = TopicPartition(Topic.EVENTS.value, 0)
T = TypeVar("T")


async def produce(settings: Settings, count: int) -> None:
    producer = build_producer(settings)
    await producer.start()
    for number in range(count):
        await producer.send_and_wait(PLACE.topic, b"%d" % number, partition=0)
    await producer.stop()


async def with_consumer(settings: Settings, group: str, use: Callable[..., Awaitable[T]]) -> T:
    consumer = build_consumer(settings, [], group)
    await consumer.start()
    consumer.assign([PLACE])
    try:
        return await use(consumer)
    finally:
        await consumer.stop()


async def commit(settings: Settings, group: str, offset: int) -> None:
    await with_consumer(settings, group, lambda consumer: consumer.commit({PLACE: offset}))


async def state(settings: Settings) -> tuple[int, int, int]:
    """First offset, end offset, what the loader has committed."""

    async def read(consumer) -> tuple[int, int, int]:
        begin, end = await consumer.beginning_offsets([PLACE]), await consumer.end_offsets([PLACE])
        return begin[PLACE], end[PLACE], await consumer.committed(PLACE) or 0

    return await with_consumer(settings, LOADER_GROUP, read)


async def fill(settings: Settings) -> None:
    async with asyncio.timeout(60):
        while True:  # a broker that has just begun to answer may still be electing leaders
            try:
                await ensure_topics(settings)
                break
            except KafkaError:
                await asyncio.sleep(0.1)
    await produce(settings, 300)
    await commit(settings, LOADER_GROUP, 250)
    await commit(settings, STREAM_GROUP, 200)


def settings_of(broker: Broker) -> Settings:
    return Settings.model_construct().model_copy(update={"kafka_bootstrap": broker.bootstrap})


def test_the_small_broker_keeps_everything_over_an_orderly_stop_and_drops_only_what_all_have_read(tmp_path):
    broker = NoidaBroker(tmp_path / "data", tmp_path / "broker.log")
    settings = settings_of(broker)
    broker.start()
    try:
        asyncio.run(fill(settings))
        broker.stop()
        assert broker.process.exit_code == 0
        broker.start()
        assert asyncio.run(state(settings)) == (0, 300, 250)
        assert asyncio.run(trim(settings)) == {PLACE: 100}
        assert asyncio.run(state(settings)) == (100, 300, 250)
        broker.stop()
        broker.start()
        asyncio.run(produce(settings, 1))
        assert asyncio.run(state(settings)) == (100, 301, 250)
    finally:
        broker.kill()


@pytest.mark.kafka
def test_apache_kafka_keeps_everything_even_when_killed(kafka_jars, tmp_path):
    broker = KafkaBroker(tmp_path / "data", tmp_path / "broker.log")
    settings = settings_of(broker)
    broker.start()
    try:
        asyncio.run(fill(settings))
        broker.kill()
        broker.start()
        assert asyncio.run(state(settings)) == (0, 300, 250)
        broker.stop()
        assert broker.process.exit_code == 143
    finally:
        broker.kill()
