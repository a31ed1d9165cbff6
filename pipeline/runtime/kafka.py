"""Kafka: topics made, offsets read, producers and consumers built one way everywhere."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from pipeline.runtime import kafka_fixes
from pipeline.runtime.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES, Topic

FETCHER_LOOK_MS: Final = 1_000
"""Pause after which a waiting consumer looks through its partitions if nothing has woken it; what comes,
is consumed or sought does. aiokafka's own 200 ms keep an idle processor busy."""

kafka_fixes.apply()


class TopicMismatch(RuntimeError):
    """A topic exists with another number of partitions than the settings say. Stop: a person would change place."""


def build_producer(settings: Settings, compression: Literal["zstd"] | None = None) -> AIOKafkaProducer:
    """Idempotent and acknowledged by all in-sync replicas: a retry inside the client neither doubles nor reorders.

    `compression`: of whole record batches. Consumers need no setting for it.
    """
    return AIOKafkaProducer(**_producer_options(settings, compression))


def _producer_options(settings: Settings, compression: Literal["zstd"] | None) -> dict[str, Any]:
    return {
        "bootstrap_servers": settings.kafka_bootstrap,
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 0,
        "max_batch_size": MAX_MESSAGE_BYTES - 64 * 1024,
        "max_request_size": MAX_MESSAGE_BYTES,
        "request_timeout_ms": 10_000,
        "compression_type": compression,
    }


class FencedProducer(AIOKafkaProducer):  # type: ignore[misc]
    """An idempotent producer that draws its id and epoch under a name, and uses no transactions.

    Once another has started under the same name and written to a partition, the broker refuses this one there with
    `ProducerFenced`.
    """

    async def start(self) -> None:
        await super().start()
        # aiokafka wants a transaction around every record of a producer that has a name; the broker does not.
        self._txn_manager.transactional_id = None


def build_fenced_producer(
    settings: Settings, name: str, compression: Literal["zstd"] | None = None
) -> AIOKafkaProducer:
    """Build a fenced producer, otherwise like `build_producer`. The broker needs its log of transactions for it, and
    with ACLs the right to `name`.
    """
    return FencedProducer(**_producer_options(settings, compression), transactional_id=name)


def build_consumer(
    settings: Settings, topics: Iterable[Topic], group: str | None, instance_id: str | None = None
) -> AIOKafkaConsumer:
    """Reads from the earliest offset and commits only when told to.

    Without a group it reads what it is assigned, and commits nothing.

    `instance_id`: static membership (KIP-345), for a process of which there is only ever one: after a crash it gets its
    partitions back at once, where the group would else wait for the session of the dead one to end.
    """
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=group,
        group_instance_id=instance_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        fetch_max_bytes=4 * MAX_MESSAGE_BYTES,
        consumer_timeout_ms=FETCHER_LOOK_MS,
    )


@asynccontextmanager
async def started(consumer: AIOKafkaConsumer) -> AsyncIterator[AIOKafkaConsumer]:
    """The consumer, started, and stopped at the end. Raises aiokafka's errors.

    aiokafka 0.14: a consumer without a group that is stopped before its tasks have run once raises `CancelledError`
    out of `stop`. Here they run first.
    """
    try:
        await consumer.start()
        await asyncio.sleep(0)
        yield consumer
    finally:
        await consumer.stop()


async def ensure_topics(settings: Settings) -> None:
    """Create the topics that are missing; raise `TopicMismatch` if one has another number of partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [_new_topic(topic, settings) for topic in Topic if topic not in existing]
        if missing:
            _raise_for_errors(await admin.create_topics(missing))
        present = [topic for topic in Topic if topic in existing]
        # An empty list would describe every topic of the broker, its internal ones too.
        for description in await admin.describe_topics(present) if present else ():
            found, wanted = len(description["partitions"]), partitions_of(Topic(description["topic"]), settings)
            if found != wanted:
                raise TopicMismatch(f"topic {description['topic']} has {found} partitions, settings say {wanted}")
    finally:
        await admin.close()


def _new_topic(topic: Topic, settings: Settings) -> NewTopic:
    config = topic.spec.broker_config() | {"min.insync.replicas": str(settings.min_insync_replicas)}
    return NewTopic(topic.value, partitions_of(topic, settings), settings.replication_factor, topic_configs=config)


def partitions_of(topic: Topic, settings: Settings) -> int:
    return topic.spec.partitions or settings.partitions


def _raise_for_errors(response: object) -> None:
    for _name, code, message in response.topic_errors:  # type: ignore[attr-defined]
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(message)


async def end_offsets(consumer: AIOKafkaConsumer, topic: str, partitions: int) -> dict[int, int]:
    """Partition → the offset the next record will get."""
    found = await consumer.end_offsets([TopicPartition(topic, p) for p in range(partitions)])
    return {tp.partition: offset for tp, offset in found.items()}
