"""Over a running broker: lines that share records, ranges that are read to their end, a group's generations."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.metadata import MetadataRequest

from deploy.local.broker import NoidaBroker
from pipeline.runtime.kafka import api_versions
from pipeline.runtime.kafka.clients import build_consumer, build_producer, started
from pipeline.runtime.kafka.group_reader import Assignment, GroupReader
from pipeline.runtime.kafka.patches import LARGE_BATCH_BYTES
from pipeline.runtime.kafka.producer import PackingProducer
from pipeline.runtime.kafka.read_range import first_record, read_range, whole_range
from pipeline.runtime.kafka.topics import TopicMismatch, WantedTopic, create_topics
from pipeline.runtime.settings import Settings

LOG = structlog.get_logger()
SECONDS = 60


@pytest.fixture
def settings(broker: str, make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(kafka_bootstrap=broker)


@pytest.fixture
async def topic(settings: Settings) -> str:
    name = f"kafka-{uuid4().hex}"
    assert await create_topics(settings, [WantedTopic(name, 2, {})]) == {name}
    return name


@pytest.fixture
async def consumer(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    async with started(build_consumer(settings)) as made:
        yield made


@pytest.mark.parametrize("kind", ["broker", pytest.param("kafka", marks=pytest.mark.kafka)])
async def test_a_broker_says_what_it_lacks(
    kind: str, request: pytest.FixtureRequest, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(kafka_bootstrap=request.getfixturevalue(kind))
    assert await api_versions.lacking_apis(settings) == ()
    monkeypatch.setitem(api_versions.NEEDED, 0, api_versions.Api("Produce", 99, "what is to come"))
    with pytest.raises(api_versions.BrokerTooOld, match=r"Kafka is too old: it lacks Produce 99 \(what is to come\)"):
        await api_versions.require_apis(settings)


@pytest.fixture
def own_noida(tmp_path: Path) -> Iterator[NoidaBroker]:
    process = NoidaBroker(tmp_path / "data", tmp_path / "broker.log")
    process.start()
    yield process
    process.kill()


async def send(settings: Settings, topic: str, partition: int, count: int) -> None:
    async with started(build_producer(settings)) as producer:
        for number in range(count):
            await producer.send_and_wait(topic, b"%d" % number, partition=partition)


async def values(consumer: AIOKafkaConsumer, ranges: dict[TopicPartition, tuple[int, int]]) -> list[bytes]:
    async with asyncio.timeout(SECONDS):
        return [record.value async for _, records in read_range(consumer, ranges) for record in records]


async def test_lines_that_wait_for_one_partition_share_records(
    settings: Settings, topic: str, consumer: AIOKafkaConsumer
) -> None:
    producer = PackingProducer(settings, LOG)
    await producer.start()
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(producer.put(topic, number % 2, b"%d" % number) for number in range(1_000)))
    await producer.stop()
    for partition in range(2):
        places = [TopicPartition(topic, partition)]
        records = await values(consumer, dict(await whole_range(consumer, places)))
        assert len(records) < 50
        assert b"".join(records).split() == [b"%d" % number for number in range(partition, 1_000, 2)]


async def test_a_line_written_while_the_broker_is_away_is_written_when_it_is_back(
    own_noida: NoidaBroker, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(kafka_bootstrap=own_noida.bootstrap)
    await create_topics(settings, [WantedTopic("lines", 1, {})])
    producer = PackingProducer(settings, LOG)
    await producer.start()
    await producer.put("lines", 0, b"before")
    await asyncio.to_thread(own_noida.stop)
    late = asyncio.create_task(producer.put("lines", 0, b"late"))
    await asyncio.to_thread(own_noida.start)
    async with asyncio.timeout(SECONDS):
        await late
    await producer.stop()
    async with started(build_consumer(settings)) as consumer:
        found = await values(consumer, dict(await whole_range(consumer, [TopicPartition("lines", 0)])))
    assert found[-1] == b"late\n"


async def test_lines_that_wait_when_it_stops_are_cancelled(settings: Settings, topic: str) -> None:
    producer = PackingProducer(settings, LOG)  # never started: nothing is acknowledged
    waiting = asyncio.create_task(producer.put(topic, 0, b"1"))
    await asyncio.sleep(0)  # it has begun to wait
    await producer.stop()
    await asyncio.wait([waiting], timeout=SECONDS)
    assert waiting.cancelled()


async def test_ranges_are_read_from_their_beginning_to_their_end_and_no_further(
    settings: Settings, topic: str, consumer: AIOKafkaConsumer
) -> None:
    full, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await send(settings, topic, 0, 10)
    assert await values(consumer, {full: (3, 7), other: (0, 0)}) == [b"3", b"4", b"5", b"6"]
    assert await values(consumer, {full: (7, 10)}) == [b"7", b"8", b"9"]
    first = await first_record(consumer, full, 4, 10)
    assert (first.offset, first.value) == (4, b"4")
    assert await first_record(consumer, full, 4, 4) is None


async def test_a_range_of_which_nothing_comes_is_given_up(topic: str, consumer: AIOKafkaConsumer) -> None:
    with pytest.raises(TimeoutError, match="nothing read"):
        await first_record(consumer, TopicPartition(topic, 0), 0, 1, stall_seconds=0.1)


async def test_a_generation_begins_where_the_last_one_has_committed(settings: Settings, topic: str) -> None:
    await send(settings, topic, 0, 5)
    place, begun, ended = TopicPartition(topic, 0), list[Assignment](), list[None]()

    def reader() -> GroupReader:
        return GroupReader(
            settings, [topic], f"group-{topic}", LOG, on_end=lambda: ended.append(None), on_begin=begun.append
        )

    first, second = reader(), reader()
    async with asyncio.timeout(SECONDS):
        await first.start()
        assert await read_one(first) == b"0"
        assert await first.commit({place: (3, "told")})
        assert first.committed[place] == 3
        await first.stop()
        assert await first.commit({place: (5, "")}), "it has no partition any more: there is nothing to try again"
        await second.start()
        assert await read_one(second) == b"3"
        await second.stop()
    assert begun[0][place].committed is None
    assert (begun[-1][place].committed, begun[-1][place].metadata) == (3, "told")
    assert ended


async def read_one(reader: GroupReader) -> bytes:
    while not (batches := await reader.read(timeout_ms=200)):
        pass
    ((records),) = batches.values()
    return bytes(records[0].value)


async def test_a_topic_with_other_partitions_is_refused_and_nothing_is_made(settings: Settings, topic: str) -> None:
    assert await create_topics(settings, [WantedTopic(topic, 2, {})]) == set()
    with pytest.raises(TopicMismatch, match="has 2 partitions"):
        await create_topics(settings, [WantedTopic(topic, 3, {})])


@pytest.mark.parametrize("is_large", [False, True])
async def test_a_large_batch_is_compressed_beside_the_event_loop(
    settings: Settings, topic: str, consumer: AIOKafkaConsumer, monkeypatch: pytest.MonkeyPatch, is_large: bool
) -> None:
    threads: list[threading.Thread] = []
    build = BatchBuilder._build

    def build_and_note(self: BatchBuilder) -> object:
        if self._buffer is None:
            threads.append(threading.current_thread())
        return build(self)

    monkeypatch.setattr(BatchBuilder, "_build", build_and_note)
    value = b'{"event_name":"page_view"}' * (LARGE_BATCH_BYTES // 20 if is_large else 20)
    async with started(build_producer(settings, "zstd")) as producer:
        await producer.send_and_wait(topic, value, partition=0)
    assert [thread is not threading.current_thread() for thread in threads] == [is_large]
    assert await values(consumer, {TopicPartition(topic, 0): (0, 1)}) == [value]


def test_a_write_to_a_connection_just_closed_is_a_broken_connection(settings: Settings) -> None:
    """On the event loop of the processes: it raises an error of its own there."""

    async def write() -> None:
        topic = f"kafka-{uuid4().hex}"
        await create_topics(settings, [WantedTopic(topic, 1, {})])
        async with asyncio.timeout(SECONDS), started(build_producer(settings)) as producer:
            await producer.send_and_wait(topic, b"1", partition=0)
            for connection in list(producer.client._conns.values()):
                connection._writer.transport.abort()
                await asyncio.sleep(0)  # closed by now; the client learns of it in the turn after
                with pytest.raises(KafkaConnectionError):
                    connection.send(MetadataRequest([]))
            await producer.send_and_wait(topic, b"2", partition=0)

    uvloop.run(write())
