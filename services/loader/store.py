"""Insert blocks into ClickHouse: retried until stored, split in halves where refused. The only place that inserts."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from pipeline.runtime.clickhouse import ClickHouseRejected, ClickHouseUnavailable
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.log import get_logger
from pipeline.runtime.retry import Pauses, retry
from pipeline.runtime.traces.tracer import Attributes, Kind, Span, Tracer
from schemas.facts import encode_row
from services.loader import metrics
from services.loader.blocks import Block, Line, token
from services.loader.rejects import rejected_row

PAUSES: Final = Pauses(0.1, 5.0)
"""Before an insert or a commit is repeated."""

log = get_logger("loader")


class Inserter(Protocol):
    """The part of `pipeline.runtime.clickhouse.ClickHouse` the loader writes with."""

    async def insert_ndjson(self, table: str, data: bytes, token: str = "") -> None: ...


def begin_insert(tracer: Tracer, block: Block) -> Span | None:
    """Begin the step of all traces whose rows are in a block."""
    attributes: Attributes = {
        "db.system.name": "clickhouse",
        "db.collection.name": block.table,
        "attrikit.rows": block.rows,
        "attrikit.messages": len(block.messages),
    }
    traceparents = (message.traceparent for message in block.messages if message.traceparent)
    return tracer.follow(f"insert {block.table}", Kind.CLIENT, traceparents, attributes)


class BlockStore:
    def __init__(self, clickhouse: Inserter, tracer: Tracer | None = None) -> None:
        self._clickhouse = clickhouse
        self._tracer = tracer
        self.is_away = False
        """True if ClickHouse did not answer the last insert."""

    async def store(self, block: Block) -> None:
        """Store a block: when this returns, every row is in its table or in `rejected`. It never gives up."""
        span = begin_insert(self._tracer, block) if self._tracer is not None else None
        data = await asyncio.to_thread(block.encode)
        started = monotonic_seconds()
        if data:
            try:
                await self.insert(block.table, data)
            except ClickHouseRejected as error:
                lines = block.lines()
                log.warning("block_refused", table=block.table, rows=len(lines), reason=str(error)[:300])
                await self._store_in_parts(block.table, lines, error)
        metrics.block_stored(block, monotonic_seconds() - started)
        if span is not None:
            span.end()

    async def insert(self, table: str, data: bytes) -> None:
        """Insert lines. Retries while ClickHouse is away; raises `ClickHouseRejected` if the data is at fault."""
        deduplication_token = await asyncio.to_thread(token, data)

        def note_failure(_error: Exception) -> None:
            self.is_away = True
            metrics.RETRIES.labels(table).inc()

        await retry(
            lambda: self._clickhouse.insert_ndjson(table, data, deduplication_token),
            (ClickHouseUnavailable,),
            log,
            "insert_failed",
            pauses=PAUSES,
            on_failure=note_failure,
            table=table,
        )
        self.is_away = False

    async def _store_in_parts(self, table: str, lines: Sequence[Line], error: ClickHouseRejected) -> None:
        """Store lines that were refused together: each half alone, down to the single bad line."""
        if len(lines) <= 1:
            for line in lines:
                await self._reject(table, line, error)
            return
        middle = len(lines) // 2
        for half in (lines[:middle], lines[middle:]):
            try:
                await self.insert(table, b"\n".join(line.value for line in half))
            except ClickHouseRejected as refusal:
                await self._store_in_parts(table, half, refusal)

    async def _reject(self, table: str, line: Line, error: ClickHouseRejected) -> None:
        row = rejected_row(line, str(error))
        await self.insert("rejected", encode_row(row))
        metrics.REJECTED.labels(table).inc()
        log.error(
            "row_rejected",
            table=table,
            partition=line.message.partition,
            offset=line.message.offset,
            index=line.index,
            reject_id=row.reject_id,
            reason=row.reason,
        )
