"""What an event takes on disk: in each topic of Apache Kafka, and in the tables, for the demo's month of traffic.

`attrikit size` reckons with these figures (`deploy/sizing/figures.py`).
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

import httpx
from figures import Figure

from deploy.demo.generator import Plan, Sending, generate
from deploy.demo.poster import Poster, parcels
from deploy.demo.product import Product
from pipeline.readmodel.progress import open_reader, wait_until_settled
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms

EVENTS: Final = 50_000
SETTLE_SECONDS: Final = 300.0
_SOURCES: Final = ("events", "people")
_TABLES: Final = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'attrikit'"


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder), "kafka")
        try:
            product.start()
            sendings = generate(Plan(end_ms=now_ms(), events=EVENTS, seed=1))
            asyncio.run(_post(product, sendings))
        finally:
            product.stop()
        topics = _topic_bytes(product.data_dir)
        tables = asyncio.run(_table_bytes(product))
    changelogs = sum(size for topic, size in topics.items() if topic.endswith("-changelog"))
    source = sum(topics.get(topic, 0) for topic in _SOURCES)
    derived = sum(size for topic, size in topics.items() if not topic.startswith("__")) - source - changelogs
    count = len(sendings)
    return [
        Figure("bytes, events and people in Kafka, one replica", source / count, "bytes/event"),
        Figure("bytes, derived rows in Kafka, one replica", derived / count, "bytes/event"),
        Figure("bytes, changelog in Kafka before compaction, one replica", changelogs / count, "bytes/event"),
        Figure("bytes, tables, one replica", tables / count, "bytes/event"),
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


async def _table_bytes(product: Product) -> int:
    clickhouse = ClickHouse.open(product.settings)
    try:
        return int((await clickhouse.query(_TABLES))[0][0])
    finally:
        clickhouse.close()
