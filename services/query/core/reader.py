"""Access to ClickHouse: runs statements, decodes their rows, turns its failures into the contract's errors."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, Protocol, TypeVar

import msgspec

from pipeline.runtime.clickhouse import ClickHouse, ClickHouseRejected, ClickHouseTimeout, ClickHouseUnavailable
from pipeline.runtime.clickhouse.client import QUERY_THREADS
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.log import get_logger
from schemas.control import Snapshot
from schemas.errors import ErrorCode
from schemas.facts import ProgressRow
from services.query.core.freshness import LOADED_SQL, PROGRESS_SQL, Freshness, LoadedRow
from services.query.core.rows import CUT_BYTES, PIECE_BYTES, BrokenRows, Found, collect_rows, decode_rows
from services.query.core.sql import Listing, QueryLimits, Statement
from services.web.budget import Budget, Held, Overloaded, Payer
from services.web.concurrency import ConcurrencyLimit
from services.web.errors import ApiError, Text, invalid, server_error

RowT = TypeVar("RowT", bound=msgspec.Struct)
RETRY_AFTER_SECONDS: Final = 5
FRESH_FOR_SECONDS: Final = 0.5
"""Seconds a reading of `complete_through` is kept: every answer asks for it, and it changes slowly."""
_REACH_GROWTH: Final = 8
_FEW_CORES: Final = 4
# Source of the numbers: ClickHouse, src/Common/ErrorCodes.cpp.
_TOO_MANY_ROWS: Final = frozenset({158, 307, 396})
_MEMORY: Final = 241
_OF_THE_QUERY: Final = re.compile(r"query memory limit|\(for query\)", re.IGNORECASE)
"""Messages of memory limits of one query, in the words of newer and older releases; else it is the server that is short
of memory.
"""
_RETRY_AFTER: Final = ((b"retry-after", b"2"),)
_TOO_MUCH: Final = Text(
    "该应用同时返回的数据过多，请稍后重试或减少每次查询的数据量",
    "answers of this app hold too much memory at once; try again in a moment, or ask for less",
)
_log = get_logger("query")


class Snapshots(Protocol):
    """Source of keys and apps: `pipeline.control.SnapshotSource`."""

    def current(self) -> Snapshot: ...

    def note_use(self, key_id: str) -> None: ...


def queries_at_once(is_embedded: bool, cores: int) -> int:
    """Return how many queries of one app run at once: half of the query threads. One where the engine shares few cores
    with all other processes: a query takes all of them by itself, and two leave a slice in three to everybody else
    (`make bench ARGS=hostile`, "large reads": writes 10 times as long as alone, 4 times with one)."""
    return 1 if is_embedded and cores < _FEW_CORES else QUERY_THREADS // 2


class Reader:
    """Reader of the tables, one per process. `answering` gives what one answer reads with."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        freshness: Freshness,
        limits: QueryLimits,
        budget: Budget,
        at_once: int = QUERY_THREADS // 2,
    ) -> None:
        """`budget`: for the rows that answers hold. `at_once`: queries of one app that run at once."""
        self.clickhouse = clickhouse
        self.limits = limits
        self.concurrency = ConcurrencyLimit(at_once)
        self.budget = budget
        self._freshness = freshness
        self._observing: asyncio.Task[None] | None = None
        self._fresh_until = 0.0

    @contextmanager
    def answering(self, app_id: str) -> Iterator["AnswerReader"]:
        """Read for one answer to `app_id`; its rows are charged to the app until the end."""
        with Held(self.budget, Payer(app_id)) as held:
            yield AnswerReader(self, held)

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
            raise as_api_error(error, self.limits) from error
        return self._freshness.complete_through_ms()

    async def _observe(self) -> None:
        try:
            # Reports first: offsets read after them can only be further, so none is taken to hold too early.
            reports = await self.clickhouse.query_bytes(PROGRESS_SQL)
            loaded = await self.clickhouse.query_bytes(LOADED_SQL)
            self._freshness.observe(decode_rows(ProgressRow, reports), decode_rows(LoadedRow, loaded))
        finally:
            self._fresh_until = monotonic_seconds() + FRESH_FOR_SECONDS

    async def ping(self) -> bool:
        try:
            await self.clickhouse.query_bytes("SELECT 1")
        except (ClickHouseUnavailable, ClickHouseRejected):
            return False
        return True


class AnswerReader:
    """Reader for one answer. What it has read is charged to `held`."""

    def __init__(self, reader: Reader, held: Held) -> None:
        self._reader = reader
        self._held = held

    async def rows(self, statement: Statement[RowT]) -> list[RowT]:
        """Return all rows of one query, which runs when its app has a turn.

        Raises `ApiError`: INVALID_PARAMETER where it would cost more than one query may, RATE_LIMIT_EXCEEDED where too
        many of the app's queries wait or its answers hold too much, SERVER_ERROR, with when to try again, where it
        cannot be answered now.
        """
        return (await self._find(statement, None)).rows

    async def first(self, statement: Statement[RowT]) -> RowT | None:
        found = await self.rows(statement)
        return found[0] if found else None

    async def page(self, listing: Statement[RowT] | Listing[RowT]) -> Found[RowT]:
        """Read the newest rows of a list: as many as its page needs, or fewer if these are large."""
        if isinstance(listing, Statement):
            return await self._find(listing, CUT_BYTES)
        reach = listing.first_reach
        while True:
            horizon = (await self.rows(listing.horizon(reach)))[0]
            if horizon.from_ms is None:
                return Found([])
            found = await self._find(listing.rows(horizon), CUT_BYTES)
            if found.is_cut or len(found.rows) >= listing.row_limit or horizon.found < reach:
                return found
            reach *= _REACH_GROWTH

    async def complete_through_ms(self) -> int | None:
        return await self._reader.complete_through_ms()

    def release(self) -> None:
        """Forget the rows read so far: they have been sent."""
        self._held.release()

    async def _find(self, statement: Statement[RowT], cut_bytes: int | None) -> Found[RowT]:
        reader = self._reader
        sql = statement.sql + reader.limits.clause() + statement.settings
        use = partial(collect_rows, statement.row_type, held=self._held, cut_bytes=cut_bytes)
        try:
            async with reader.concurrency.turn(statement.parameters["app_id"]):
                return await reader.clickhouse.read(sql, statement.parameters, use=use, piece_bytes=PIECE_BYTES)
        except (ClickHouseUnavailable, ClickHouseRejected) as error:
            raise as_api_error(error, reader.limits) from error
        except BrokenRows as error:
            _log.warning("clickhouse_broke_off", message=str(error)[:500])
            raise server_error(RETRY_AFTER_SECONDS) from error
        except Overloaded:
            raise ApiError(ErrorCode.RATE_LIMIT_EXCEEDED, reason=_TOO_MUCH, headers=_RETRY_AFTER) from None


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
