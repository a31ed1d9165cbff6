"""The facts as a real broker gives them: ends, last reports behind many, committed offsets of a group."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.broker import NoidaBroker
from pipeline.readmodel.progress import TopicsMissing, evaluate, open_reader, wait_until_settled
from pipeline.runtime.kafka.clients import build_producer
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.facts import ProgressRow, encode_rows
from schemas.topics import LOADER_GROUP, Topic

EVENTS = 40
PARTITION = 1


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[NoidaBroker]:
    """Topics have fixed names, so the shared broker will not do."""
    broker = NoidaBroker(tmp_path / "broker", tmp_path / "broker.log")
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
async def settings(own_broker: NoidaBroker, make_settings: Callable[..., Settings]) -> Settings:
    settings = make_settings(kafka_bootstrap=own_broker.bootstrap, partitions=2)
    await ensure_topics(settings)
    return settings


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = build_producer(settings)
    await producer.start()
    yield producer
    await producer.stop()


async def process(producer: AIOKafkaProducer, pending_sessions: int = 0) -> None:
    """Write what gateway and stream leave behind: events, two messages of sessions, and a report after each event."""
    for number in range(1, EVENTS + 1):
        await producer.send_and_wait(Topic.EVENTS.value, b"{}\n", partition=PARTITION)
        row = ProgressRow(PARTITION, number, 5, pending_sessions, {Topic.SESSIONS.value: 2}, number)
        await producer.send_and_wait(Topic.PROGRESS.value, encode_rows([row]), partition=PARTITION)
    for _ in range(2):
        await producer.send_and_wait(Topic.SESSIONS.value, b"{}\n", partition=PARTITION)


async def load(settings: Settings, offsets: dict[Topic, int]) -> None:
    """Commit as the loader does."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, group_id=LOADER_GROUP, enable_auto_commit=False
    )
    await consumer.start()
    places = {TopicPartition(topic.value, PARTITION): offset for topic, offset in offsets.items()}
    consumer.assign(list(places))
    await consumer.commit(places)
    await consumer.stop()


async def test_from_nothing_to_settled(settings: Settings, producer: AIOKafkaProducer) -> None:
    async with open_reader(settings) as reader:
        assert evaluate(await reader.read()).is_settled

        await process(producer)
        facts = await reader.read()
        assert facts.reported[PARTITION].next_offset == EVENTS
        assert facts.end_offsets[Topic.EVENTS, PARTITION] == EVENTS
        progress = evaluate(facts)
        assert (progress.is_settled, progress.stream_lag, progress.loader_lag) == (False, 0, EVENTS + 2)

        await load(settings, {Topic.EVENTS: EVENTS, Topic.SESSIONS: 1})
        assert not evaluate(await reader.read()).is_settled
        await load(settings, {Topic.SESSIONS: 2})
        assert (await wait_until_settled(reader, timeout_seconds=30)).loader_lag == 0


async def test_waiting_ends_in_time(settings: Settings, producer: AIOKafkaProducer) -> None:
    await process(producer, pending_sessions=3)
    async with open_reader(settings) as reader:
        with pytest.raises(TimeoutError, match="pending_sessions=3"):
            await wait_until_settled(reader, timeout_seconds=0.3, poll_seconds=0.1)


async def test_asking_too_early_makes_no_topics(
    own_broker: NoidaBroker, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(kafka_bootstrap=own_broker.bootstrap)
    with pytest.raises(TopicsMissing, match="attributions"):
        async with open_reader(settings):
            pass
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        assert not {topic.value for topic in Topic} & set(await admin.list_topics())
    finally:
        await admin.close()
