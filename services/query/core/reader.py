"""Access to ClickHouse: runs statements, decodes their rows, turns its failures into the contract's errors."""

import asyncio
import re
from typing import Final, Protocol, TypeVar

import msgspec

from pipeline.runtime.clickhouse import ClickHouse, ClickHouseRejected, ClickHouseTimeout, ClickHouseUnavailable
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.log import get_logger
from schemas.control import Snapshot
from schemas.facts import ProgressRow
from services.query.core.concurrency import ConcurrencyLimit
from services.query.core.freshness import LOADED_SQL, PROGRESS_SQL, Freshness, LoadedRow
from services.query.core.sql import Listing, QueryLimits, Statement
from services.web.errors import ApiError, Text, invalid, server_error

RowT = TypeVar("RowT", bound=msgspec.Struct)
RETRY_AFTER_SECONDS: Final = 5
FRESH_FOR_SECONDS: Final = 0.5
"""Seconds a reading of `complete_through` is kept: every answer asks for it, and it changes slowly."""
_REACH_GROWTH: Final = 8
# Source of the numbers: ClickHouse, src/Common/ErrorCodes.cpp.
_TOO_MANY_ROWS: Final = frozenset({158, 307, 396})
_MEMORY: Final = 241
_OF_THE_QUERY: Final = re.compile(r"query memory limit|\(for query\)", re.IGNORECASE)
"""Messages of memory limits of one query, in the words of newer and older releases; else it is the server that is short
of memory.
"""
_log = get_logger("query")


class Snapshots(Protocol):
    """Source of keys and apps: `pipeline.control.SnapshotSource`."""

    def current(self) -> Snapshot: ...

    def note_use(self, key_id: str) -> None: ...


class Reader:
    def __init__(self, clickhouse: ClickHouse, freshness: Freshness, limits: QueryLimits) -> None:
        self._clickhouse = clickhouse
        self._limits = limits
        self._concurrency = ConcurrencyLimit()
        self._freshness = freshness
        self._observing: asyncio.Task[None] | None = None
        self._fresh_until = 0.0

    async def rows(self, statement: Statement[RowT]) -> list[RowT]:
        """Return all rows of one query, which runs when its app has a turn.

        Raises `ApiError`: INVALID_PARAMETER where it would cost more than one query may, RATE_LIMIT_EXCEEDED where too
        many of the app's queries wait, SERVER_ERROR, with when to try again, where it cannot be answered now.
        """
        sql = statement.sql + self._limits.clause() + statement.settings
        try:
            async with self._concurrency.turn(statement.parameters["app_id"]):
                body = await self._clickhouse.query_bytes(sql, statement.parameters)
        except (ClickHouseUnavailable, ClickHouseRejected) as error:
            raise as_api_error(error, self._limits) from error
        return decode_rows(statement.row_type, body)

    async def first(self, statement: Statement[RowT]) -> RowT | None:
        found = await self.rows(statement)
        return found[0] if found else None

    async def page(self, listing: Statement[RowT] | Listing[RowT]) -> list[RowT]:
        """Read the newest rows of a list, as many as its page needs."""
        if isinstance(listing, Statement):
            return await self.rows(listing)
        reach = listing.first_reach
        while True:
            edge = (await self.rows(listing.edge(reach)))[0]
            if edge.from_ms is None:
                return []
            found = await self.rows(listing.rows(edge))
            if len(found) >= listing.row_limit or edge.found < reach:
                return found
            reach *= _REACH_GROWTH

    async def complete_through_ms(self) -> int | None:
        """Return the time; None while it is unknown. All who ask at one time share one reading, and its failure too,
        which stands as long as an answer would: nobody waits behind the timeouts of others. Raises `ApiError`.
        """
        if self._observing is None or (self._observing.done() and monotonic_seconds() >= self._fresh_until):
            self._observing = asyncio.create_task(self._observe())
        try:
            # A caller that gives up must not end it for the others.
            await asyncio.shield(self._observing)
        except (ClickHouseUnavailable, ClickHouseRejected) as error:
            raise as_api_error(error, self._limits) from error
        return self._freshness.complete_through_ms()

    async def _observe(self) -> None:
        try:
            # Reports first: offsets read after them can only be further, so none is taken to hold too early.
            reports = await self._clickhouse.query_bytes(PROGRESS_SQL)
            loaded = await self._clickhouse.query_bytes(LOADED_SQL)
            self._freshness.observe(decode_rows(ProgressRow, reports), decode_rows(LoadedRow, loaded))
        finally:
            self._fresh_until = monotonic_seconds() + FRESH_FOR_SECONDS

    async def ping(self) -> bool:
        try:
            await self._clickhouse.query_bytes("SELECT 1")
        except (ClickHouseUnavailable, ClickHouseRejected):
            return False
        return True


def decode_rows(row_type: type[RowT], body: bytes) -> list[RowT]:
    """Decode JSONEachRow to rows."""
    return msgspec.json.Decoder(row_type).decode_lines(body)


def as_api_error(error: ClickHouseUnavailable | ClickHouseRejected, limits: QueryLimits) -> ApiError:
    """Map a failed query to the error for the caller (pure but for the log)."""
    _log.warning("clickhouse_failed", error=type(error).__name__, code=error.code, message=str(error)[:500])
    if isinstance(error, ClickHouseTimeout):
        return server_error(
            RETRY_AFTER_SECONDS,
            reason=Text(
                f"查询超过 {limits.seconds:g} 秒，请缩小时间范围",
                f"the query took longer than {limits.seconds:g} s; ask for a shorter range",
            ),
        )
    if error.code in _TOO_MANY_ROWS:
        reason = Text(
            f"查询需要读取超过 {limits.rows_to_read} 行数据，请缩小时间范围或增加条件",
            f"the query would read more than {limits.rows_to_read} rows; ask for a shorter range or add conditions",
        )
        return invalid("query", reason, limit=limits.rows_to_read)
    if error.code == _MEMORY and _OF_THE_QUERY.search(str(error)):
        reason = Text(
            f"查询需要超过 {limits.memory_bytes} 字节内存，请缩小时间范围或选择更粗的划分",
            f"the query needs more than {limits.memory_bytes} bytes of memory; ask for a shorter range or a coarser "
            "division",
        )
        return invalid("query", reason, limit=limits.memory_bytes)
    return server_error(RETRY_AFTER_SECONDS)
