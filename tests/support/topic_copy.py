"""Copies a topic from one broker to another, record by record: the same values at the same offsets."""

import asyncio
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from stream_worker import read_topic

from pipeline.runtime.kafka.clients import build_consumer, build_producer, started
from pipeline.runtime.kafka.read_range import read_range, whole_range
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.topics import Topic

_PARTITION_SECONDS = 300.0


async def copy_topic(topic: Topic, source: Settings, target: Settings) -> int:
    """Into the same topic of `target`, which must be empty. Returns how many records there are."""
    await ensure_topics(target)
    async with started(build_consumer(source)) as consumer, started(build_producer(target)) as producer:
        return sum([await _copy_partition(topic, p, consumer, producer) for p in range(source.partitions)])


async def _copy_partition(topic: Topic, partition: int, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> int:
    place = TopicPartition(topic.value, partition)
    ranges = await whole_range(consumer, [place])
    async with asyncio.timeout(_PARTITION_SECONDS):
        async for _, records in read_range(consumer, ranges):
            for record in records:
                sent = await producer.send_and_wait(topic.value, record.value, key=record.key, partition=partition)
                assert sent.offset == record.offset
    return ranges[place][1]


async def copy_links(source: Settings, target: Settings) -> int:
    """Copy the gateways' messages in `people`; the rest of it is the stream's own, which it writes anew. Returns how
    many.
    """
    decode = msgspec.json.Decoder(dict[str, Any]).decode_lines
    links = [
        (partition, row)
        for partition, _offset, _key, value in await read_topic(source, Topic.PEOPLE)
        for row in decode(value or b"")
        if row["kind"] == "link"
    ]
    producer = build_producer(target)
    await producer.start()
    try:
        for partition, row in links:
            await producer.send_and_wait(Topic.PEOPLE.value, msgspec.json.encode(row) + b"\n", partition=partition)
    finally:
        await producer.stop()
    return len(links)
