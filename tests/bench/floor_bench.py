"""Floor under the `touches` bench: what its events cost in the parts of others, whatever we do around them.

    python tests/bench/floor_bench.py [CLICKS]

- *chDB*: the same rows inserted as NDJSON into the tables of the product, in blocks of so many events, until nothing is
  left to merge. Told are all tables together, and in the middle one of the sizes each table with the copies that are
  made of it.
- *broker*: the records that these events and their states become, compressed as the worker compresses them, appended
  one group after another to the embedded broker; with its saves, which write everything anew about once a second.

Processor time of all threads, in µs an event of the traffic. Found on two cores that others kept busy: chDB 82, 38 and
29 in blocks of 2,000, 8,000 and 16,000 events; the broker 33.
"""

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "support")]

from domain_bench import ad_clicks, groups_of, pack  # noqa: E402
from figures import Figure  # noqa: E402
from processes import cpu_seconds, running_broker  # noqa: E402

from pipeline.runtime.clickhouse import ClickHouse, migrate  # noqa: E402
from pipeline.runtime.kafka.clients import build_producer  # noqa: E402
from pipeline.runtime.settings import Settings  # noqa: E402
from pipeline.runtime.topics import ensure_topics  # noqa: E402
from schemas.topics import Topic  # noqa: E402
from services.loader.blocks import table_of  # noqa: E402

CLICKS: Final = 40_000
BLOCK_EVENTS: Final = (2_000, 8_000, 16_000)
_SETTLE_SECONDS: Final = 120.0
Rows = Mapping[Topic, Sequence[bytes]]


def rows_of(messages: Sequence[bytes]) -> Rows:
    """Lines by topic: the events themselves and what the stream makes of them."""
    found: dict[Topic, list[bytes]] = defaultdict(list)
    found[Topic.EVENTS] = [line for message in messages for line in message.splitlines()]
    for records, _ in groups_of(messages):
        for topic, value in records:
            if topic.is_loaded:
                found[topic] += value.splitlines()
    return found


async def chdb_figures(rows: Rows, events: int, block: int) -> list[Figure]:
    """All tables; each alone in the block size in the middle."""
    name = f"floor, chDB, blocks of {block:,} events"
    with tempfile.TemporaryDirectory() as folder:
        clickhouse = ClickHouse.open(Settings(data_dir=Path(folder)))
        try:
            await migrate(clickhouse)
            used: dict[str, float] = {}
            for topic, lines in rows.items():
                started = time.process_time()
                await _insert(clickhouse, table_of(topic), lines, -(-events // block))
                used[table_of(topic)] = (time.process_time() - started) * 1e6 / events
        finally:
            clickhouse.close()
    tables = used if block == BLOCK_EVENTS[1] else {}
    return [
        Figure(name, sum(used.values()), "µs/event"),
        *(Figure(f"{name}, {table}", value, "µs/event") for table, value in tables.items()),
    ]


async def _insert(clickhouse: ClickHouse, table: str, lines: Sequence[bytes], blocks: int) -> None:
    for number in range(blocks):
        part = lines[len(lines) * number // blocks : len(lines) * (number + 1) // blocks]
        if part:
            await clickhouse.insert_ndjson(table, b"\n".join(part))
    deadline = time.monotonic() + _SETTLE_SECONDS
    quiet = 0
    while quiet < 3:  # merges are begun one after another
        assert time.monotonic() < deadline, f"{table} still merges"
        await asyncio.sleep(0.3)
        merging = (await clickhouse.query("SELECT count() FROM system.merges"))[0][0]
        quiet = 0 if merging else quiet + 1


async def broker_seconds(settings: Settings, messages: Sequence[bytes]) -> None:
    """Append all records, one group after another, as a worker does."""
    await ensure_topics(settings)
    producer = build_producer(settings, compression="zstd")
    await producer.start()
    try:
        for message in messages:
            await producer.send_and_wait(Topic.EVENTS, message, partition=0)
        for records, states in groups_of(messages):
            values = [*records, (Topic.PEOPLE, b"".join(states))]  # any topic does for the changelog's bytes
            await asyncio.gather(*[await producer.send(topic, value, partition=0) for topic, value in values])
    finally:
        await producer.stop()


def broker_figure(messages: Sequence[bytes], events: int) -> Figure:
    with tempfile.TemporaryDirectory() as name, running_broker(Path(name)) as broker:
        settings = Settings(data_dir=Path(name) / "data", kafka_bootstrap=broker.bootstrap, partitions=1)
        before = cpu_seconds(broker.process.pid)
        asyncio.run(broker_seconds(settings, messages))
        time.sleep(1.5)  # it saves once a second and does not say when: one save more is in the figure for certain
        used = cpu_seconds(broker.process.pid) - before
    return Figure("floor, embedded broker", used * 1e6 / events, "µs/event")


def run(clicks: int = CLICKS) -> list[Figure]:
    events = ad_clicks(clicks)
    messages = pack(events)
    rows = rows_of(messages)
    figures = [broker_figure(messages, len(events))]
    for block in BLOCK_EVENTS:
        figures += asyncio.run(chdb_figures(rows, len(events), block))
    return figures


def main(arguments: Iterable[str]) -> None:
    for figure in run(*map(int, arguments)):
        print(figure.json_line(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
