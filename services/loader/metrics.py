"""Prometheus metrics of the loader. Labels are tables, topics and partitions: few and fixed."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from pipeline.runtime.clock import now_ms
from services.loader.blocks import Block

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

ROWS: Final = Counter("attrikit_loader_rows", "Rows read from the log and stored", ["table"])
BYTES: Final = Counter("attrikit_loader_bytes", "Bytes of these rows as NDJSON", ["table"])
BLOCKS: Final = Counter("attrikit_loader_blocks", "Blocks inserted", ["table"])
REJECTED: Final = Counter("attrikit_loader_rejected_rows", "Rows ClickHouse refused, kept in `rejected`", ["table"])
RETRIES: Final = Counter("attrikit_loader_retries", "Inserts tried again because ClickHouse was away", ["table"])
INSERT_SECONDS: Final = Histogram(
    "attrikit_loader_insert_seconds", "From the start of a block's insert to its end", ["table"], buckets=_SECONDS
)
DELAY_SECONDS: Final = Histogram(
    "attrikit_loader_delay_seconds",
    "From a message being produced to its rows being readable",
    ["table"],
    buckets=_SECONDS,
)
LAG: Final = Gauge("attrikit_loader_lag_messages", "Messages in the log not stored yet", ["topic", "partition"])


def block_stored(block: Block, seconds: float) -> None:
    ROWS.labels(block.table).inc(block.rows)
    BYTES.labels(block.table).inc(block.size_bytes)
    BLOCKS.labels(block.table).inc()
    INSERT_SECONDS.labels(block.table).observe(seconds)
    delay, now = DELAY_SECONDS.labels(block.table), now_ms()
    for message in block.messages:
        delay.observe(max(0, now - message.timestamp_ms) / 1000)
