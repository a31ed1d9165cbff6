"""First start of the stream: make its changelog, and write each partition's first record, which says where it
begins.

Links stay in `people` for a new life to be read again; journeys and forwarded events are the stream's own, and a stream
that begins without any state over topics that were processed before will write them again. So the first marker of a
partition says where `people` ended when the changelog was made: what the stream wrote before is of a former life.
"""

import asyncio
from typing import Final

from aiokafka import TopicPartition

from pipeline.runtime.clock import now_ms
from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_consumer, build_producer, started
from pipeline.runtime.kafka.topics import WantedTopic, create_topics
from pipeline.stream.partition.changelog import MARKER_KEY, TOPIC_CONFIG, Marker, append_group, encode_marker
from schemas.topics import Topic

_OTHER_SECONDS: Final = 15.0
"""Seconds that the worker that made the topic is given to write its first records."""
_POLL_SECONDS: Final = 0.2
_BACKOFF_MS: Final = 20
"""A consumer waits this long to learn of a topic."""


async def ensure_changelog(settings: KafkaSettings, topic: str) -> None:
    """Make the changelog if it is missing, with a first marker in every partition.

    `people` must exist. Raises `TopicMismatch` if the changelog has another number of partitions than the settings say.
    """
    is_maker = topic in await create_topics(settings, [WantedTopic(topic, settings.partitions, TOPIC_CONFIG)])
    waited_seconds = 0.0
    while unwritten := await _unwritten(settings, topic):
        # Of workers that start together one makes the topic; the others step in only if it does not live to write.
        if is_maker or waited_seconds >= _OTHER_SECONDS:
            await _write_first_markers(settings, topic, unwritten)
            return
        await asyncio.sleep(_POLL_SECONDS)
        waited_seconds += _POLL_SECONDS


async def _unwritten(settings: KafkaSettings, topic: str) -> list[int]:
    """Partitions in which nothing was ever written."""
    return [partition for partition, end in (await _ends(settings, topic)).items() if end == 0]


async def _ends(settings: KafkaSettings, topic: str) -> dict[int, int]:
    places = [TopicPartition(topic, partition) for partition in range(settings.partitions)]
    async with started(build_consumer(settings, retry_backoff_ms=_BACKOFF_MS)) as consumer:
        return {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}


async def _write_first_markers(settings: KafkaSettings, topic: str, partitions: list[int]) -> None:
    people = await _ends(settings, Topic.PEOPLE.value)
    async with started(build_producer(settings)) as producer:
        for partition in partitions:
            marker = Marker(0, 0, 0, derived_from=people[partition])
            await append_group(producer, topic, partition, [(MARKER_KEY, encode_marker(marker))], [], now_ms())
