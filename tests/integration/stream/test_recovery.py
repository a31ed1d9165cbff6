"""The changelog read in bulk from a real broker."""

from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.runtime.settings import Settings
from pipeline.stream.partition.changelog import append_group
from pipeline.stream.partition.stores import MemoryStore
from pipeline.stream.recovery import load_all, plan_load


async def _topic(bootstrap: str) -> str:
    name = f"changelog-{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 2, 1, topic_configs={"cleanup.policy": "compact"})])
    await admin.close()
    return name


async def test_every_partition_is_read_to_its_end_and_the_newest_state_of_a_key_stays(broker: str) -> None:
    topic = await _topic(broker)
    producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True)
    await producer.start()
    ends = {}
    for partition in range(2):
        for round_ in range(30):
            puts = [(b"k%d" % n, b"%d/%d" % (round_, n)) for n in range(400)]
            ends[partition] = await append_group(producer, topic, partition, puts, [b"k7"], 1_790_000_000_000) + 1
    await producer.stop()
    assert ends == {0: 30 * 401, 1: 30 * 401}
    stores = {partition: MemoryStore() for partition in range(2)}
    # One of them knows the first ten rounds already.
    stores[1].write([(b"k1", b"old"), (b"k7", b"old")], [], 10 * 401 - 1)
    loads = [plan_load(partition, store, 0, ends[partition]) for partition, store in stores.items()]
    await load_all(Settings(kafka_bootstrap=broker), topic, [load for load in loads if load])
    for store in stores.values():
        assert store.offset == 30 * 401 - 1
        assert dict(store.scan()) == {b"k%d" % n: b"29/%d" % n for n in range(400) if n != 7}
    assert [load and load.records for load in loads] == [30 * 401, 20 * 401]


async def test_an_end_that_holds_no_record_is_reached_all_the_same(broker: str) -> None:
    """The last offset is a transaction's marker, as it may be a record that compaction removed."""
    topic = await _topic(broker)
    producer = AIOKafkaProducer(bootstrap_servers=broker, transactional_id=topic)
    await producer.start()
    async with producer.transaction():
        sent = await producer.send_and_wait(topic, key=b"a", value=b"1", partition=0)
    await producer.stop()
    store = MemoryStore()
    load = plan_load(0, store, 0, sent.offset + 2)
    assert load is not None
    await load_all(Settings(kafka_bootstrap=broker), topic, [load])
    assert store.offset == sent.offset + 1
    assert list(store.scan()) == [(b"a", b"1")]
