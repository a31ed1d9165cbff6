"""Clients of Kafka, built one way everywhere: producers, consumers, the admin client."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.connection import connection_options
from pipeline.runtime.kafka.patches import FencedProducer
from schemas.topics import MAX_MESSAGE_BYTES

FETCHER_LOOK_MS: Final = 1_000
"""Pause after which a waiting consumer looks through its partitions if nothing has woken it; what comes,
is consumed or sought does. aiokafka's own 200 ms keep an idle processor busy."""
Client = TypeVar("Client", AIOKafkaConsumer, AIOKafkaProducer)


def build_producer(settings: KafkaSettings, compression: Literal["zstd"] | None = None) -> AIOKafkaProducer:
    """Idempotent and acknowledged by all in-sync replicas: a retry inside the client neither doubles nor reorders.

    `compression`: of whole record batches. Consumers need no setting for it.
    """
    return AIOKafkaProducer(**_producer_options(settings, compression))


def _producer_options(settings: KafkaSettings, compression: Literal["zstd"] | None) -> dict[str, Any]:
    return {
        **connection_options(settings),
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 0,
        "max_batch_size": MAX_MESSAGE_BYTES - 64 * 1024,
        "max_request_size": MAX_MESSAGE_BYTES,
        "request_timeout_ms": 10_000,
        "compression_type": compression,
    }


def build_fenced_producer(
    settings: KafkaSettings, name: str, compression: Literal["zstd"] | None = None
) -> AIOKafkaProducer:
    """Build a fenced producer, otherwise like `build_producer`. The broker needs its log of transactions for it, and
    with ACLs the right to `name`.
    """
    return FencedProducer(**_producer_options(settings, compression), transactional_id=name)


def build_consumer(
    settings: KafkaSettings,
    topics: Iterable[str] = (),
    group: str | None = None,
    instance_id: str | None = None,
    **options: Any,
) -> AIOKafkaConsumer:
    """Build a consumer that reads from the earliest offset and commits only when told to.

    Without a group it reads what it is assigned, and commits nothing.

    `instance_id`: static membership (KIP-345), for a process of which there is only ever one: after a crash it gets its
    partitions back at once, where the group would else wait for the session of the dead one to end.
    `options`: aiokafka's own, instead of ours.
    """
    usual: dict[str, Any] = {
        **connection_options(settings),
        "group_id": group,
        "group_instance_id": instance_id,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_partition_fetch_bytes": MAX_MESSAGE_BYTES,
        "fetch_max_bytes": 4 * MAX_MESSAGE_BYTES,
        "consumer_timeout_ms": FETCHER_LOOK_MS,
    }
    return AIOKafkaConsumer(*topics, **usual | options)


@asynccontextmanager
async def started(client: Client) -> AsyncIterator[Client]:
    """Start a consumer or a producer, and stop it at the end. Raises aiokafka's errors.

    aiokafka 0.14: a consumer without a group that is stopped before its tasks have run once raises `CancelledError`
    out of `stop`. Here they run first.
    """
    try:
        await client.start()
        await asyncio.sleep(0)
        yield client
    finally:
        await client.stop()


@asynccontextmanager
async def open_admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client. Raises aiokafka's errors."""
    admin = AIOKafkaAdminClient(**connection_options(settings))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
