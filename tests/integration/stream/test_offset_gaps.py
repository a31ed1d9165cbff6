"""Gaps in the offsets of `events`: what is a message that was skipped, and what is none."""

from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from structlog.testing import capture_logs

from pipeline.runtime.kafka.clients import build_producer
from pipeline.runtime.kafka.lost_records import RecordsLost
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from pipeline.stream.partition.offset_gaps import MessagesSkipped, check_gap
from schemas.topics import Topic


@pytest.fixture
async def settings(broker: str, make_settings: Callable[..., Settings]) -> Settings:
    made = make_settings(kafka_bootstrap=broker)
    await ensure_topics(made)
    return made


async def _send(settings: Settings, count: int, partition: int = 0) -> list[int]:
    producer = build_producer(settings)
    await producer.start()
    try:
        sent = [await producer.send_and_wait(Topic.EVENTS.value, b"{}", partition=partition) for _ in range(count)]
        return [metadata.offset for metadata in sent]
    finally:
        await producer.stop()


async def test_a_message_between_two_that_came_was_skipped(settings: Settings) -> None:
    offsets = await _send(settings, 4)
    with pytest.raises(MessagesSkipped, match=f"offset {offsets[1]} is in the log"):
        await check_gap(settings, 0, offsets[1], offsets[3])


async def test_a_marker_of_a_transaction_is_no_message(settings: Settings) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, transactional_id="gaps")
    await producer.start()
    async with producer.transaction():
        sent = await producer.send_and_wait(Topic.EVENTS.value, b"{}", partition=1)
    await producer.stop()
    (after,) = await _send(settings, 1, partition=1)
    assert after > sent.offset + 1, "the marker has an offset"
    with capture_logs() as logs:
        await check_gap(settings, 1, sent.offset + 1, after)
    assert [line["event"] for line in logs] == ["offsets_without_records"]


async def test_what_retention_deleted_stops_the_worker_until_it_is_told_to_go_on(settings: Settings) -> None:
    offsets = await _send(settings, 4, partition=2)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(Topic.EVENTS.value, 2): RecordsToDelete(offsets[3])})
    await admin.close()
    lost = rf"events\[2\]: offsets {offsets[1]} to {offsets[2]} were deleted before attrikit-stream read them"
    with pytest.raises(RecordsLost, match=lost):
        await check_gap(settings, 2, offsets[1], offsets[3])
    with capture_logs() as logs:
        await check_gap(settings.model_copy(update={"skip_lost_records": True}), 2, offsets[1], offsets[3])
    assert [line["event"] for line in logs] == ["records_lost"]
