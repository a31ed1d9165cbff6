"""First start of the stream: make its changelog, and write each partition's first record, which says where it
begins.

Links stay in `people` for a new life to be read again; journeys and forwarded events are the stream's own, and a stream
that begins without any state over topics that were processed before will write them again. So the first marker of a
partition says where `people` ended when the changelog was made: what the stream wrote before is of a former life.
"""

import asyncio
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from pipeline.runtime.clock import now_ms
from pipeline.runtime.kafka import TopicMismatch, build_producer, end_offsets
from pipeline.runtime.settings import Settings
from pipeline.stream.changelog import MARKER_KEY, TOPIC_CONFIG, Marker, append_group, encode_marker
from schemas.topics import Topic

_OTHER_SECONDS: Final = 15.0
"""Seconds that the worker that made the topic is given to write its first records."""
_POLL_SECONDS: Final = 0.2
_BACKOFF_MS: Final = 20
"""A consumer waits this long to learn of a topic."""


async def ensure_changelog(settings: Settings, topic: str) -> None:
    """Make the changelog if it is missing, with a first marker in every partition.

    `people` must exist. Raises `TopicMismatch` if the changelog has another number of partitions than the settings say.
    """
    is_maker = await _ensure_topic(settings, topic)
    waited_seconds = 0.0
    while unwritten := await _unwritten(settings, topic):
        # Of workers that start together one makes the topic; the others step in only if it does not live to write.
        if is_maker or waited_seconds >= _OTHER_SECONDS:
            await _write_first_markers(settings, topic, unwritten)
            return
        await asyncio.sleep(_POLL_SECONDS)
        waited_seconds += _POLL_SECONDS


async def _ensure_topic(settings: Settings, topic: str) -> bool:
    """Create the topic; return True if it was missing, and nobody else made it meanwhile."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        if topic in await admin.list_topics():
            description = (await admin.describe_topics([topic]))[0]
            if len(description["partitions"]) != settings.partitions:
                raise TopicMismatch(f"topic {topic} does not have {settings.partitions} partitions")
            return False
        config = TOPIC_CONFIG | {"min.insync.replicas": str(settings.min_insync_replicas)}
        new = NewTopic(topic, settings.partitions, settings.replication_factor, topic_configs=config)
        response = await admin.create_topics([new])
        return not any(for_code(error[1]) is TopicAlreadyExistsError for error in response.topic_errors)
    finally:
        await admin.close()


async def _unwritten(settings: Settings, topic: str) -> list[int]:
    """Partitions in which nothing was ever written."""
    return [partition for partition, end in (await _ends(settings, topic)).items() if end == 0]


async def _ends(settings: Settings, topic: str) -> dict[int, int]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False, retry_backoff_ms=_BACKOFF_MS
    )
    await consumer.start()
    try:
        return await end_offsets(consumer, topic, settings.partitions)
    finally:
        await consumer.stop()


async def _write_first_markers(settings: Settings, topic: str, partitions: list[int]) -> None:
    people = await _ends(settings, Topic.PEOPLE.value)
    producer = build_producer(settings)
    await producer.start()
    try:
        for partition in partitions:
            marker = Marker(0, 0, 0, derived_from=people[partition])
            await append_group(producer, topic, partition, [(MARKER_KEY, encode_marker(marker))], [], now_ms())
    finally:
        await producer.stop()
