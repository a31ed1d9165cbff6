"""Copies a topic from one broker to another, record by record: the same values at the same offsets."""

import asyncio
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from stream_worker import read_topic

from pipeline.runtime.kafka.clients import build_producer
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.topics import MAX_MESSAGE_BYTES, Topic

_PARTITION_SECONDS = 300.0


async def copy_topic(topic: Topic, source: Settings, target: Settings) -> int:
    """Into the same topic of `target`, which must be empty. Returns how many records there are."""
    await ensure_topics(target)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=source.kafka_bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
    )
    producer = build_producer(target)
    await consumer.start()
    await producer.start()
    try:
        return sum([await _copy_partition(topic, p, consumer, producer) for p in range(source.partitions)])
    finally:
        await producer.stop()
        await consumer.stop()


async def _copy_partition(topic: Topic, partition: int, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> int:
    place = TopicPartition(topic.value, partition)
    end = (await consumer.end_offsets([place]))[place]
    consumer.assign([place])
    async with asyncio.timeout(_PARTITION_SECONDS):
        while await consumer.position(place) < end:
            for record in (await consumer.getmany(place, timeout_ms=100)).get(place, []):
                sent = await producer.send_and_wait(topic.value, record.value, key=record.key, partition=partition)
                assert sent.offset == record.offset
    return end


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
