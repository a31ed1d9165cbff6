"""Rare writes to Kafka by people: over a connection that is opened for them and closed again."""

from collections.abc import Iterable

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_producer, started
from pipeline.runtime.topics import ensure_topics
from schemas.topics import Topic


async def send_records(settings: KafkaSettings, topic: Topic, partition: int, records: Iterable[bytes]) -> None:
    """Send the records one after another; returns when the broker has all of them. Raises `KafkaError`."""
    await ensure_topics(settings)
    async with started(build_producer(settings)) as producer:
        for record in records:
            await producer.send_and_wait(topic.value, record, partition=partition)
