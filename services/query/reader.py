"""The edge to ClickHouse: runs statements, decodes their rows, turns its failures into the contract's errors."""

import asyncio
from typing import Final, Protocol, TypeVar

import msgspec

from pipeline.runtime.clickhouse import ClickHouse, ClickHouseRejected, ClickHouseTimeout, ClickHouseUnavailable
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.http.errors import ApiError, Text, server_error
from pipeline.runtime.log import get_logger
from schemas.control import Snapshot
from schemas.facts import ProgressRow
from services.query.freshness import LOADED_SQL, PROGRESS_SQL, Freshness, LoadedRow
from services.query.sql import MAX_EXECUTION_SECONDS, Statement

RowT = TypeVar("RowT", bound=msgspec.Struct)

RETRY_AFTER_SECONDS: Final = 5
FRESH_FOR_SECONDS: Final = 0.5
"""`complete_through` is asked for by every answer and changes slowly: one reading serves all in this time."""
_log = get_logger("query")


class Snapshots(Protocol):
    """Where keys and apps are looked up: `pipeline.runtime.control_plane.SnapshotSource`."""

    def current(self) -> Snapshot: ...

    def note_use(self, key_id: str) -> None: ...


class Reader:
    def __init__(self, clickhouse: ClickHouse, freshness: Freshness) -> None:
        self._clickhouse = clickhouse
        self._freshness = freshness
        self._freshness_lock = asyncio.Lock()
        self._fresh_until = 0.0

    async def rows(self, statement: Statement[RowT]) -> list[RowT]:
        """All rows of one query. Raises `ApiError` (SERVER_ERROR, with when to try again) if it cannot be answered."""
        try:
            body = await self._clickhouse.query_bytes(statement.sql, statement.parameters)
        except (ClickHouseUnavailable, ClickHouseRejected) as error:
            raise _as_api_error(error) from error
        return decode_rows(statement.row_type, body)

    async def first(self, statement: Statement[RowT]) -> RowT | None:
        found = await self.rows(statement)
        return found[0] if found else None

    async def complete_through_ms(self) -> int | None:
        """None while it is unknown, the tables that tell it being out of reach included."""
        async with self._freshness_lock:
            if monotonic_seconds() >= self._fresh_until:
                await self._observe()
                self._fresh_until = monotonic_seconds() + FRESH_FOR_SECONDS
        return self._freshness.complete_through_ms()

    async def _observe(self) -> None:
        try:
            # Reports first: offsets read after them can only be further, so none is taken to hold too early.
            reports = await self._clickhouse.query_bytes(PROGRESS_SQL)
            loaded = await self._clickhouse.query_bytes(LOADED_SQL)
        except (ClickHouseUnavailable, ClickHouseRejected) as error:
            raise _as_api_error(error) from error
        self._freshness.observe(decode_rows(ProgressRow, reports), decode_rows(LoadedRow, loaded))

    async def ping(self) -> bool:
        try:
            await self._clickhouse.query_bytes("SELECT 1")
        except (ClickHouseUnavailable, ClickHouseRejected):
            return False
        return True


def decode_rows(row_type: type[RowT], body: bytes) -> list[RowT]:
    """JSONEachRow to rows."""
    return msgspec.json.Decoder(row_type).decode_lines(body)


def _as_api_error(error: ClickHouseUnavailable | ClickHouseRejected) -> ApiError:
    _log.warning("clickhouse_failed", error=type(error).__name__, code=error.code, message=str(error)[:500])
    if isinstance(error, ClickHouseTimeout):
        return server_error(
            RETRY_AFTER_SECONDS,
            reason=Text(
                f"查询超过 {MAX_EXECUTION_SECONDS} 秒，请缩小时间范围",
                f"the query took longer than {MAX_EXECUTION_SECONDS} s; ask for a shorter range",
            ),
        )
    return server_error(RETRY_AFTER_SECONDS)
