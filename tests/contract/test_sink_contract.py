"""Contract of every sink of the gateway: the one in memory that other tests stand on, and Kafka."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.broker import NoidaBroker
from pipeline.runtime.kafka.producer import NotConnected, SendFailed
from pipeline.runtime.settings import Settings
from schemas.topics import Topic
from services.gateway.sink import KafkaSink, MemorySink, Sink

Read = Callable[[Topic, int], "asyncio.Future[list[bytes]]"]


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> "AsyncIterator[str]":
    folder = tmp_path_factory.mktemp("sink")
    broker = NoidaBroker(folder / "data", folder / "broker.log")
    broker.start()
    yield broker.bootstrap
    broker.stop()


async def connected(sink: Sink) -> None:
    await sink.start()
    async with asyncio.timeout(20):
        while not sink.is_connected:
            await asyncio.sleep(0.02)


@pytest.fixture(params=["memory", "kafka"])
async def sink(
    request: pytest.FixtureRequest, make_settings: Callable[..., Settings], tmp_path: Path
) -> AsyncIterator[Sink]:
    opened: Sink
    if request.param == "memory":
        opened = MemorySink()
    else:
        opened = KafkaSink(make_settings(kafka_bootstrap=request.getfixturevalue("bootstrap")))
    await connected(opened)
    yield opened
    await opened.stop()


@pytest.fixture
def read(sink: Sink, request: pytest.FixtureRequest) -> Callable[[Topic, int], AsyncIterator[list[bytes]]]:
    """All values of a partition, oldest first."""

    async def from_kafka(topic: Topic, partition: int) -> list[bytes]:
        consumer = AIOKafkaConsumer(bootstrap_servers=request.getfixturevalue("bootstrap"))
        await consumer.start()
        try:
            place = TopicPartition(topic.value, partition)
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            await consumer.seek_to_beginning(place)
            return [(await consumer.getone(place)).value for _ in range(end)]
        finally:
            await consumer.stop()

    async def from_anywhere(topic: Topic, partition: int) -> list[bytes]:
        if isinstance(sink, MemorySink):
            return [value for at, p, value in sink.records if (at, p) == (topic, partition)]
        return await from_kafka(topic, partition)

    return from_anywhere  # type: ignore[return-value]


async def test_what_is_acknowledged_is_there_in_order_in_its_partition(sink: Sink, read: Read) -> None:
    before = {partition: await read(Topic.EVENTS, partition) for partition in (0, 1)}
    for number in range(3):
        await sink.send(Topic.EVENTS, 1, b"%d\n" % number)
    await sink.send(Topic.REJECTED, 0, b"refused\n")
    assert (await read(Topic.EVENTS, 1))[len(before[1]) :] == [b"0\n", b"1\n", b"2\n"]
    assert await read(Topic.EVENTS, 0) == before[0]
    assert (await read(Topic.REJECTED, 0))[-1] == b"refused\n"


async def test_many_at_once_over_all_partitions(sink: Sink, read: Read) -> None:
    values = [b"%d\n" % number for number in range(40)]
    await asyncio.gather(*(sink.send(Topic.EVENTS, number % 4, value) for number, value in enumerate(values)))
    found = [value for partition in range(4) for value in await read(Topic.EVENTS, partition)]
    assert set(values) <= set(found)


async def test_records_of_several_megabytes_pass(sink: Sink, read: Read) -> None:
    await sink.send(Topic.EVENTS, 2, b"x" * 3_000_000)
    assert len((await read(Topic.EVENTS, 2))[-1]) == 3_000_000


async def test_after_stop_nothing_is_taken(sink: Sink) -> None:
    await sink.stop()
    assert not sink.is_connected
    with pytest.raises(SendFailed):
        await sink.send(Topic.EVENTS, 0, b"too late\n")


async def test_a_record_past_the_brokers_limit_is_refused_and_the_next_goes_through(
    make_settings: Callable[..., Settings], bootstrap: str
) -> None:
    sink = KafkaSink(make_settings(kafka_bootstrap=bootstrap))
    await connected(sink)
    with pytest.raises(SendFailed):
        await sink.send(Topic.EVENTS, 0, b"x" * 9_000_000)
    await sink.send(Topic.EVENTS, 0, b"next\n")
    await sink.stop()


async def test_a_broker_that_lost_everything_is_set_up_anew(
    make_settings: Callable[..., Settings], tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    first = NoidaBroker(tmp_path / "first", tmp_path / "first.log", port)
    first.start()
    sink = KafkaSink(make_settings(kafka_bootstrap=first.bootstrap), give_up_seconds=1.0)
    await connected(sink)
    await sink.send(Topic.EVENTS, 0, b"before\n")
    await asyncio.to_thread(first.kill)
    with pytest.raises(SendFailed):
        await sink.send(Topic.EVENTS, 0, b"lost\n")
    with pytest.raises(NotConnected):
        await sink.send(Topic.EVENTS, 0, b"refused\n")
    second = NoidaBroker(tmp_path / "second", tmp_path / "second.log", port)
    second.start()
    async with asyncio.timeout(20):
        while not sink.is_connected:
            await asyncio.sleep(0.02)
    await sink.send(Topic.EVENTS, 0, b"after\n")
    await sink.stop()
    second.stop()
