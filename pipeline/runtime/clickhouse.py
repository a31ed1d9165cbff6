"""ClickHouse: one wrapper for a server over HTTP and for chDB, the same engine inside this process.

clickhouse-connect blocks, so calls run in two small thread pools (queries; inserts and commands), each thread with a
client of its own. Errors form one small tree; each class says what the caller does next:

    ClickHouseError
    ├── ClickHouseUnavailable   nothing wrong with what was asked: try again later
    │   ├── ClickHouseBusy      too many queries wait in this process: shed the load
    │   └── ClickHouseTimeout   the query took longer than its limit: ask for less
    ├── ClickHouseRejected      the SQL or the data is at fault: trying again will not help
    └── ClickHouseLocked        another process has the chDB directory: do not start
"""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, Self, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError
from clickhouse_connect.driver.exceptions import Error as CodedDriverError
from clickhouse_connect.driver.exceptions import OperationalError
from clickhouse_connect.driver.query import QueryResult
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from pipeline.runtime.chdb_directory import DirectoryInUse, DirectoryLock
from pipeline.runtime.clock import monotonic_seconds, now_ms
from pipeline.runtime.settings import Settings
from schemas.clickhouse import (
    MIGRATIONS_TABLE,
    AppliedMigration,
    Migration,
    load_migrations,
    pending_migrations,
)

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]
T = TypeVar("T")

QUERY_THREADS: Final = 4
INSERT_THREADS: Final = 2
_ENGINE_OPTIONS: Final = {"config-file": str(files("pipeline.runtime") / "chdb.xml")}
_END_ATTEMPTS: Final = 40
_END_SECONDS: Final = 0.05
MAX_WAITING_QUERIES: Final = 256
AWAY_SECONDS: Final = 1.0
"""A server that could not be reached is not asked again for so long: calls that wait for a thread fail at once, instead
of one connection timeout after another."""
QUERY_TIMEOUT_SECONDS: Final = 30.0
INSERT_TIMEOUT_SECONDS: Final = 60.0
_IDENTIFIER: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\Z")

# Source of the numbers: ClickHouse, src/Common/ErrorCodes.cpp.
_TIMEOUT_CODES: Final = frozenset({159, 160})
_QUERY_RETRY_CODES: Final = frozenset(
    # too many queries, no connection, network, memory, read-only, cancelled, Keeper, database or table not there yet
    {60, 81, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 279, 285, 286, 319, 394, 425, 439, 999}
)
_BAD_DATA_CODES: Final = frozenset(
    # cannot parse …, unexpected end, incorrect data, type mismatch, constraint, too large, null where none may be
    {6, 25, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 128, 130, 131, 306, 349, 407, 441, 467, 469, 675, 676, 691}
)
_INSERT_SETTINGS: Final[dict[str, Any]] = {
    "input_format_skip_unknown_fields": 1,
    "async_insert": 0,  # the answer must mean "stored", and an error must be about this block
    "max_execution_time": 0,
}


class ClickHouseError(Exception):
    """Base of the tree above. `code` is ClickHouse's own number where it gave one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class ClickHouseUnavailable(ClickHouseError):
    """Try again later."""


class ClickHouseBusy(ClickHouseUnavailable):
    """Too many queries wait in this process."""


class ClickHouseTimeout(ClickHouseUnavailable):
    """The query took longer than its limit."""


class ClickHouseRejected(ClickHouseError):
    """The SQL or the data is at fault."""


class ClickHouseLocked(ClickHouseError):
    """Another process has the chDB directory open."""


class ClickHouse:
    """ClickHouse client, one per process. `open` touches no network; the first call of each thread connects."""

    def __init__(
        self,
        connect: Callable[[str | None], Client],
        insert: Callable[[Client, str, bytes, dict[str, Any]], object],
        database: str,
        lock: DirectoryLock | None,
    ) -> None:
        """`connect(database)` gives a new client; None: the engine's default database."""
        self.database = database
        self._connect = connect
        self._insert = insert
        self._lock = lock
        self._local = threading.local()
        self._clients: list[Client] = []
        self._queries = ThreadPoolExecutor(QUERY_THREADS, "clickhouse-query")
        self._inserts = ThreadPoolExecutor(INSERT_THREADS, "clickhouse-insert")
        self._ends = ThreadPoolExecutor(1, "clickhouse-end")
        self._waiting = 0
        self._away: str | None = None
        self._away_until = 0.0

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the client for `settings.clickhouse_url`, or chDB under `settings.data_dir`. Raises
        `ClickHouseLocked`.
        """
        if settings.clickhouse_url:
            path = urlsplit(settings.clickhouse_url).path.strip("/")
            database = _database_name(path or settings.database)
            return cls(_http_connector(settings.clickhouse_url), _insert_over_http, database, None)
        database = _database_name(settings.database)
        directory = settings.data_dir.resolve() / "clickhouse"
        try:
            lock = DirectoryLock.acquire(directory)
        except DirectoryInUse as error:
            raise ClickHouseLocked(str(error)) from None
        return cls(_chdb_connector(directory), partial(_insert_from_file, lock.spool), database, lock)

    async def query(
        self, sql: str, parameters: Parameters | None = None, *, timeout_seconds: float | None = None
    ) -> list[Row]:
        """Return all rows as tuples. `parameters` are bound on the server: `{name:Type}` in the SQL."""
        return await self._query(
            lambda client, settings: _tuples(client.query(sql, dict(parameters or {}), settings)),
            timeout_seconds,
        )

    async def query_dicts(
        self, sql: str, parameters: Parameters | None = None, *, timeout_seconds: float | None = None
    ) -> list[dict[str, Any]]:
        """Return all rows as dictionaries by column name."""
        return await self._query(
            lambda client, settings: list(client.query(sql, dict(parameters or {}), settings).named_results()),
            timeout_seconds,
        )

    async def query_bytes(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        format: str = "JSONEachRow",
        timeout_seconds: float | None = None,
    ) -> bytes:
        """The answer as ClickHouse writes it in `format`, without building Python objects."""
        began, ended = threading.Event(), threading.Event()
        mark = f"/* {uuid4().hex} */"

        def call(client: Client, settings: dict[str, Any] | None) -> bytes:
            began.set()
            try:
                return b"" if ended.is_set() else client.raw_query(mark + sql, dict(parameters or {}), settings, format)
            finally:
                ended.set()

        try:
            return await self._query(call, timeout_seconds)
        except asyncio.CancelledError:
            if began.is_set():
                self._ends.submit(self._end, mark, ended)
            else:
                ended.set()
            raise

    def stream(self, sql: str, parameters: Parameters | None = None, *, format: str = "JSONEachRow") -> "ByteStream":
        """The answer of one query piece by piece, as it is computed: any size in little memory. Blocking, for a thread
        of the caller's own; it has a client of its own. To be closed. Limits have to stand in the SQL."""
        client = self._connect(self.database)
        return ByteStream(client, lambda: client.raw_stream(sql, dict(parameters or {}), fmt=format))

    async def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """A statement without an answer."""
        await self._run(self._inserts, lambda client: client.command(sql, dict(parameters or {})), is_insert=False)

    async def insert_ndjson(self, table: str, data: bytes, token: str = "") -> None:
        """Insert NDJSON lines; unknown fields are skipped. A repeat with the same `token` (and data) changes nothing.

        Raises `ClickHouseRejected` only if the data itself is at fault, `ClickHouseUnavailable` for all else: what
        cannot be told apart is better tried again than thrown away.
        """
        if not _IDENTIFIER.match(table):
            raise ClickHouseRejected(f"not a table name: {table!r}")
        settings = _INSERT_SETTINGS | ({"insert_deduplication_token": token} if token else {})
        await self._run(
            self._inserts,
            lambda client: self._insert(client, table, data, settings),
            is_insert=True,
        )

    async def create_database(self) -> None:
        """Create the database if it is missing; asking first lets a user without the right to create one work in an
        existing one.
        """
        await asyncio.get_running_loop().run_in_executor(self._inserts, self._create_database)

    def close(self) -> None:
        """Wait for what runs, then close. Idempotent."""
        self._queries.shutdown(cancel_futures=True)
        self._inserts.shutdown()
        self._ends.shutdown(cancel_futures=True)
        while self._clients:
            with suppress(DriverError):
                self._clients.pop().close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _query(self, call: Callable[[Client, dict[str, Any] | None], T], limit: float | None) -> T:
        # The clients carry the usual limit themselves; on chDB a limit of a call's own costs extra statements.
        settings = None if limit is None else {"max_execution_time": limit}
        if self._waiting >= MAX_WAITING_QUERIES:
            raise ClickHouseBusy(f"{self._waiting} queries are waiting in this process already")
        self._waiting += 1
        try:
            return await self._run(self._queries, lambda client: call(client, settings), is_insert=False)
        finally:
            self._waiting -= 1

    def _end(self, mark: str, ended: threading.Event) -> None:
        """Stop the query that begins with `mark`, for which nobody waits; it may be about to begin."""
        for _ in range(_END_ATTEMPTS):
            if ended.wait(_END_SECONDS):
                return
            with suppress(DriverError):
                self._client().command(f"KILL QUERY WHERE startsWith(query, '{mark}') ASYNC")

    async def _run(self, pool: ThreadPoolExecutor, call: Callable[[Client], T], *, is_insert: bool) -> T:
        def in_thread() -> T:
            if self._away is not None and monotonic_seconds() < self._away_until:
                raise ClickHouseUnavailable(self._away)
            try:
                return call(self._client())
            except DriverError as error:
                if is_unreachable(error):
                    self._away, self._away_until = str(error), monotonic_seconds() + AWAY_SECONDS
                raise classify(error, is_insert=is_insert) from error
            except OSError as error:  # the disk of the embedded engine's files is full, say
                raise ClickHouseUnavailable(f"{type(error).__name__}: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(pool, in_thread)

    def _client(self) -> Client:
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._connect(self.database)
            self._clients.append(client)
        return client

    def _create_database(self) -> None:
        try:
            client = self._connect(None)
            try:
                names = client.query("SELECT name FROM system.databases").result_columns[0]
                if self.database not in names:
                    client.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
            finally:
                client.close()
        except DriverError as error:
            raise classify(error, is_insert=False) from error


class ByteStream:
    """`for piece in stream`; see `ClickHouse.stream`. Raises the tree's errors, also in the middle."""

    PIECE_BYTES: Final = 4 * 1024 * 1024

    def __init__(self, client: Client, begin: Callable[[], Any]) -> None:
        self._client = client
        self._begin = begin
        self._source: Any = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            self._source = self._begin()
            while piece := self._source.read(self.PIECE_BYTES):
                yield piece
        except DriverError as error:
            raise classify(error, is_insert=False) from error

    def close(self) -> None:
        with suppress(DriverError, OSError):
            if self._source is not None:
                self._source.close()
        with suppress(DriverError):
            self._client.close()


def _tuples(result: QueryResult) -> list[Row]:
    return [tuple(row) for row in result.result_rows]


def is_unreachable(error: DriverError) -> bool:
    """True if no connection to the server came about; one that broke later may be the fault of one query (pure)."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MaxRetryError):
            cause = cause.reason
        if isinstance(cause, NewConnectionError | ConnectTimeoutError):
            return True
        cause = cause.__cause__ if cause is not None else None
    return False


def classify(error: DriverError, *, is_insert: bool) -> ClickHouseError:
    """Return the class of the tree that a driver's error belongs to (pure)."""
    code = error.code if isinstance(error, CodedDriverError) else None
    message = str(error)
    if is_insert:
        # chDB cannot put an error message with undecodable bytes of the data into words: it is about the data.
        is_undecodable = code is None and "codec can't decode" in message
        is_rejected = code in _BAD_DATA_CODES or is_undecodable
        return ClickHouseRejected(message, code) if is_rejected else ClickHouseUnavailable(message, code)
    if code in _TIMEOUT_CODES:
        return ClickHouseTimeout(message, code)
    if code in _QUERY_RETRY_CODES or (code is None and isinstance(error, OperationalError)):
        return ClickHouseUnavailable(message, code)
    return ClickHouseRejected(message, code)


async def migrate(clickhouse: ClickHouse, migrations: tuple[Migration, ...] | None = None) -> list[int]:
    """Bring the database to this release; returns the numbers applied now. Several processes may do it at once.

    Raises `schemas.clickhouse.MigrationError` if an applied migration differs from its file.
    """
    await clickhouse.create_database()
    await clickhouse.command(MIGRATIONS_TABLE)
    rows = await clickhouse.query("SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number")
    known = load_migrations() if migrations is None else migrations
    pending = pending_migrations(known, [AppliedMigration(*row) for row in rows])
    for migration in pending:
        await _apply(clickhouse, migration)
    return [migration.number for migration in pending]


async def _apply(clickhouse: ClickHouse, migration: Migration) -> None:
    """The record comes last: after a crash in between the statements run again, which each of them allows."""
    for statement in migration.statements:
        await clickhouse.command(statement)
    await clickhouse.command(
        "INSERT INTO schema_migrations (number, name, checksum, applied_at_ms) "
        "SELECT {number:UInt32}, {name:String}, {checksum:String}, {applied_at_ms:Int64}",
        {
            "number": migration.number,
            "name": migration.name,
            "checksum": migration.checksum,
            "applied_at_ms": now_ms(),
        },
    )


def _database_name(name: str) -> str:
    if not _IDENTIFIER.match(name):
        raise ClickHouseRejected(f"not a database name: {name!r}")
    return name


def _http_connector(url: str) -> Callable[[str | None], Client]:
    parts = urlsplit(url)

    def connect(database: str | None) -> Client:
        return clickhouse_connect.get_client(
            interface=parts.scheme,
            host=parts.hostname,
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            username=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            database=database or "default",
            settings={"max_execution_time": QUERY_TIMEOUT_SECONDS},
            connect_timeout=5,
            send_receive_timeout=int(INSERT_TIMEOUT_SECONDS),
            autogenerate_session_id=False,
            compress=False,
            tz_mode="aware",
        )

    return connect


def _insert_over_http(client: Client, table: str, data: bytes, settings: dict[str, Any]) -> None:
    client.raw_insert(table, insert_block=data, settings=settings, fmt="JSONEachRow")


def _insert_from_file(spool: Path, client: Client, table: str, data: bytes, settings: dict[str, Any]) -> None:
    """chDB reads from a file. The driver's `raw_insert` would put it into the system's temporary folder, where a kill
    leaves people's events lying about; this one is swept with the next start."""
    with NamedTemporaryFile(dir=spool, suffix=".ndjson") as file:
        file.write(data)
        file.flush()
        values = ", ".join(f"{key} = {_quoted(value)}" for key, value in settings.items())
        client.command(f"INSERT INTO {table} FROM INFILE {_quoted(file.name)} SETTINGS {values} FORMAT JSONEachRow")


def _quoted(value: object) -> str:
    """Quote a text as an SQL string: settings and file names cannot be bound."""
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _chdb_connector(directory: Path) -> Callable[[str | None], Client]:
    def connect(database: str | None) -> Client:
        return clickhouse_connect.get_client(
            interface="chdb",
            path=str(directory),
            database=database,
            settings={"max_execution_time": QUERY_TIMEOUT_SECONDS},
            tz_mode="aware",
            chdb_options=_ENGINE_OPTIONS,
        )

    return connect
