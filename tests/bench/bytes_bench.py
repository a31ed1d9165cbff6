"""What an event takes on disk: in each topic of Apache Kafka, and in the tables, for the demo's month of traffic; and a
person's state, in the worker's store and as the changelog's compaction leaves it.

`attrikit size` reckons with these figures (`deploy/sizing/figures.py`).
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

import httpx
from aiokafka import TopicPartition
from figures import Figure

from deploy.demo.generator import Plan, Sending, generate
from deploy.demo.poster import Poster, parcels
from deploy.demo.product import Product
from pipeline.readmodel.progress import open_reader, wait_until_settled
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.read_range import read_range, whole_range
from pipeline.stream.partition.changelog import CHANGELOG_TOPIC

EVENTS: Final = 50_000
SETTLE_SECONDS: Final = 300.0
_SOURCES: Final = ("events", "people")
_TABLES: Final = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'attrikit'"

_PERSONS: Final = "SELECT uniqExact(app_id, person_key) FROM events FINAL"


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder), "kafka")
        try:
            product.start()
            sendings = generate(Plan(end_ms=now_ms(), events=EVENTS, seed=1))
            asyncio.run(_post(product, sendings))
            compacted = asyncio.run(_compacted_bytes(product))
        finally:
            product.stop()
        topics = _topic_bytes(product.data_dir)
        store = sum(file.stat().st_size for file in (product.data_dir / "stream").rglob("*") if file.is_file())
        tables, persons = asyncio.run(_table_bytes_and_persons(product))
    changelogs = sum(size for topic, size in topics.items() if topic.endswith("-changelog"))
    source = sum(topics.get(topic, 0) for topic in _SOURCES)
    derived = sum(size for topic, size in topics.items() if not topic.startswith("__")) - source - changelogs
    count = len(sendings)
    return [
        Figure("bytes, events and people in Kafka, one replica", source / count, "bytes/event"),
        Figure("bytes, derived rows in Kafka, one replica", derived / count, "bytes/event"),
        Figure("bytes, changelog in Kafka before compaction, one replica", changelogs / count, "bytes/event"),
        Figure("bytes, tables, one replica", tables / count, "bytes/event"),
        Figure("bytes, a state in the worker's store", store / persons, "bytes/person"),
        Figure("bytes, a state in the compacted changelog, not compressed", compacted / persons, "bytes/person"),
    ]


async def _post(product: Product, sendings: list[Sending]) -> None:
    headers = {"Authorization": f"Bearer {product.key}"}
    async with httpx.AsyncClient(base_url=product.base_url, headers=headers, timeout=15.0, trust_env=False) as client:
        await Poster(client).post_all(parcels(sendings, 1), lambda _count: None)
        async with open_reader(product.settings) as reader:
            await wait_until_settled(reader, SETTLE_SECONDS)


def _topic_bytes(data_dir: Path) -> dict[str, int]:
    """Bytes of the log segments of each topic."""
    found: dict[str, int] = {}
    for segment in data_dir.rglob("*-*/[0-9]*.log"):
        topic = segment.parent.name.rpartition("-")[0]
        found[topic] = found.get(topic, 0) + segment.stat().st_size
    return found


async def _compacted_bytes(product: Product) -> int:
    """Add up the last record of each key of the changelog."""
    sizes: dict[tuple[int, bytes], int] = {}
    places = [TopicPartition(CHANGELOG_TOPIC, partition) for partition in range(product.settings.partitions)]
    async with started(build_consumer(product.settings)) as consumer:
        async for place, records in read_range(consumer, await whole_range(consumer, places)):
            for record in records:
                size = 0 if record.value is None else len(record.key) + len(record.value)
                sizes[place.partition, record.key] = size
    return sum(sizes.values())


async def _table_bytes_and_persons(product: Product) -> tuple[int, int]:
    clickhouse = ClickHouse.open(product.settings)
    try:
        return int((await clickhouse.query(_TABLES))[0][0]), int((await clickhouse.query(_PERSONS))[0][0])
    finally:
        clickhouse.close()
