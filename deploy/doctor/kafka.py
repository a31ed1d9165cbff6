"""Observations of Kafka for the doctor: the lag of every group, records about to expire unread, and the changelog."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from deploy.doctor.findings import Changelog, Lag, Reported, Server
from pipeline.readmodel.progress import open_reader
from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.api_versions import lacking_apis
from pipeline.runtime.kafka.clients import build_consumer, open_admin, started
from pipeline.runtime.kafka.read_range import first_record, whole_range
from pipeline.runtime.topics import partitions_of
from pipeline.stream.partition.changelog import CHANGELOG_TOPIC
from schemas.topics import LOADER_GROUP, Topic
from schemas.webhooks import RETRY_DELAYS_MS

_OLDEST_SECONDS: Final = 2.0
"""Maximum wait for the next unread record of a partition."""

Begins = Mapping[TopicPartition, int]
Ends = Mapping[TopicPartition, int]


@dataclass(frozen=True)
class KafkaFacts:
    lags: tuple[Lag, ...]
    reported: tuple[Reported, ...]
    changelogs: tuple[Changelog, ...]
    servers: tuple[Server, ...] = ()


async def observe_kafka(settings: KafkaSettings) -> KafkaFacts:
    """Observe Kafka. Raises aiokafka's errors, `TimeoutError` and `TopicsMissing`."""
    async with open_reader(settings) as reader:  # also the one who says that topics are missing
        facts = await reader.read()
    async with open_admin(settings) as admin, started(build_consumer(settings)) as consumer:
        ends = await _ends(consumer, settings)
        begins = await consumer.beginning_offsets(list(ends))
        lags = await _lags(admin, begins, ends)
        lags = [await _with_oldest(consumer, lag, ends) for lag in lags]
        retention = {topic: await _config(admin, topic, "retention.ms") for topic in {lag.topic for lag in lags}}
        return KafkaFacts(
            tuple(replace(lag, retention_ms=_milliseconds(retention[lag.topic], lag.topic)) for lag in lags),
            tuple(_reported(facts, partition) for partition in range(settings.partitions)),
            await _changelogs(admin, consumer, settings.partitions),
            (Server("Kafka", "takes all that is sent", lacks=await lacking_apis(settings)),),
        )


def _reported(facts: Any, partition: int) -> Reported:
    row = facts.reported.get(partition)
    end = facts.end_offsets.get((Topic.EVENTS, partition), 0)
    return Reported(
        partition,
        max(0, end - (row.next_offset if row else 0)),
        row.reported_at_ms if row else None,
        row.watermark_ms or None if row else None,
    )


async def _ends(consumer: AIOKafkaConsumer, settings: KafkaSettings) -> Ends:
    places = [TopicPartition(topic.value, p) for topic in Topic for p in range(partitions_of(topic, settings))]
    found: Ends = await consumer.end_offsets(places)
    return found


async def _lags(admin: AIOKafkaAdminClient, begins: Begins, ends: Ends) -> list[Lag]:
    """Return the lags of every group; of the loader also where it has not committed yet."""
    lags = []
    names = {group for group, _protocol in await admin.list_consumer_groups()} | {LOADER_GROUP}
    for group in sorted(names):
        committed = await admin.list_consumer_group_offsets(group)
        known = {place: entry.offset for place, entry in committed.items() if place in ends and entry.offset >= 0}
        if group == LOADER_GROUP:
            loaded = {topic.value for topic in Topic if "services.loader" in topic.spec.consumers}
            known = {place: begins[place] for place in ends if place.topic in loaded} | known
        lags += [_lag(group, place, offset, begins[place], ends[place]) for place, offset in sorted(known.items())]
    return lags


def _lag(group: str, place: TopicPartition, offset: int, begin: int, end: int) -> Lag:
    """Return the lag of one partition, of which a group reads on at `offset`. Deliveries between attempts wait a
    partition's own time, however well the dispatcher works.
    """
    waits_ms = RETRY_DELAYS_MS[place.partition] if place.topic == Topic.WEBHOOK_RETRIES.value else 0
    messages = max(0, end - max(offset, begin))
    return Lag(group, place.topic, place.partition, messages, waits_ms=waits_ms, deleted=max(0, begin - offset))


async def _with_oldest(consumer: AIOKafkaConsumer, lag: Lag, ends: Ends) -> Lag:
    """Add the time of the next record the group will read."""
    if not lag.messages:
        return lag
    place = TopicPartition(lag.topic, lag.partition)
    begin = (await consumer.beginning_offsets([place]))[place]
    oldest = None
    with suppress(TimeoutError):
        begin = max(begin, ends[place] - lag.messages)
        oldest = await first_record(consumer, place, begin, ends[place], _OLDEST_SECONDS)
    return lag if oldest is None else replace(lag, oldest_unread_ms=int(oldest.timestamp))


async def _changelogs(admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, partitions: int) -> tuple[Changelog, ...]:
    if CHANGELOG_TOPIC not in await admin.list_topics():
        return ()
    ranges = await whole_range(consumer, [TopicPartition(CHANGELOG_TOPIC, number) for number in range(partitions)])
    records = sum(end - begin for begin, end in ranges.values())
    return (Changelog(CHANGELOG_TOPIC, records, await _config(admin, CHANGELOG_TOPIC, "cleanup.policy") or ""),)


async def _config(admin: AIOKafkaAdminClient, topic: str, name: str) -> str | None:
    """Read a topic's configuration; None if the broker does not report it."""
    with suppress(KafkaError, AttributeError, ValueError):
        for response in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]):
            for resource in response.resources:
                for entry in resource[4]:
                    if entry[0] == name:
                        return None if entry[1] is None else str(entry[1])
    return None


def _milliseconds(configured: str | None, topic: str) -> int | None:
    if configured is None:
        configured = Topic(topic).spec.broker_config().get("retention.ms", "-1")
    return None if int(configured) < 0 else int(configured)
