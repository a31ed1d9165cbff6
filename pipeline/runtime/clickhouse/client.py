"""Client of ClickHouse: a server over HTTP, or chDB, the same engine inside this process.

clickhouse-connect blocks, so calls run in two small thread pools (queries; inserts and commands), each thread with a
client of its own.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError
from clickhouse_connect.driver.query import QueryResult
from urllib3.exceptions import HTTPError

from pipeline.runtime.clickhouse.chdb_directory import DirectoryInUse, DirectoryLock
from pipeline.runtime.clickhouse.connect import (
    IDENTIFIER,
    HttpConnector,
    chdb_connector,
    database_name,
    insert_from_file,
    insert_over_http,
)
from pipeline.runtime.clickhouse.errors import (
    ClickHouseBusy,
    ClickHouseLocked,
    ClickHouseRejected,
    ClickHouseUnavailable,
    classify,
    is_unreachable,
)
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.connection_settings import ClickHouseSettings
from pipeline.runtime.embedded import require
from schemas.clickhouse.cluster import Cluster

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]
T = TypeVar("T")

QUERY_THREADS: Final = 4
INSERT_THREADS: Final = 2
_END_ATTEMPTS: Final = 40
_END_SECONDS: Final = 0.05
MAX_WAITING_QUERIES: Final = 256
AWAY_SECONDS: Final = 1.0
"""A server that could not be reached is not asked again for so long: calls that wait for a thread fail at once, instead
of one connection timeout after another."""

_INSERT_SETTINGS: Final[dict[str, Any]] = {
    "input_format_skip_unknown_fields": 1,
    "async_insert": 0,  # the answer must mean "stored", and an error must be about this block
    "max_execution_time": 0,
}


class ClickHouse:
    """ClickHouse client, one per process. `open` touches no network; the first call of each thread connects."""

    def __init__(
        self,
        connect: Callable[[str | None], Client],
        insert: Callable[[Client, str, bytes, dict[str, Any]], object],
        database: str,
        lock: DirectoryLock | None,
        cluster: Cluster | None = None,
    ) -> None:
        """`connect(database)` gives a new client; None: the default database. `cluster`: that of the tables."""
        self.database = database
        self.cluster = cluster
        self._connect = connect
        self._insert = insert
        self._lock = lock
        self.is_embedded = lock is not None
        self._local = threading.local()
        self._clients: list[Client] = []
        self._queries = ThreadPoolExecutor(QUERY_THREADS, "clickhouse-query")
        self._inserts = ThreadPoolExecutor(INSERT_THREADS, "clickhouse-insert")
        self._ends = ThreadPoolExecutor(1, "clickhouse-end")
        self._waiting = 0
        self._away: str | None = None
        self._away_until = 0.0

    @classmethod
    def open(cls, settings: ClickHouseSettings) -> Self:
        """Open the client for `settings.clickhouse_url`, or chDB under `settings.data_dir`. Raises
        `ClickHouseLocked`, and `NotInstalled` without chDB.
        """
        if url := settings.clickhouse_url.get_secret_value():
            database = database_name(urlsplit(url).path.strip("/") or settings.database)
            named = settings.clickhouse_cluster
            cluster = Cluster(named, database, settings.clickhouse_sharded) if named else None
            return cls(HttpConnector(settings), insert_over_http, database, None, cluster)
        require("chdb", "ATTRIKIT_CLICKHOUSE_URL")
        database = database_name(settings.database)
        directory = settings.data_dir.resolve() / "clickhouse"
        try:
            lock = DirectoryLock.acquire(directory)
        except DirectoryInUse as error:
            raise ClickHouseLocked(str(error)) from None
        return cls(chdb_connector(directory), partial(insert_from_file, lock.spool), database, lock)

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

        def call(client: Client, marked_sql: str, settings: dict[str, Any] | None) -> bytes:
            return client.raw_query(marked_sql, dict(parameters or {}), settings, format)

        return await self._stoppable(sql, call, timeout_seconds)

    async def read(
        self, sql: str, parameters: Parameters | None = None, *, use: Callable[[Iterator[bytes]], T], piece_bytes: int
    ) -> T:
        """Return `use(pieces)`, called in the query's thread: pieces of the JSON lines of the answer as they come. What
        it leaves unread is not read. An HTTP server is read piece by piece; chDB gives blocks of rows, so up to one of
        those is held beside the piece."""

        def call(client: Client, marked_sql: str, settings: dict[str, Any] | None) -> T:
            source: Any = client.raw_stream(marked_sql, dict(parameters or {}), settings, "JSONEachRow")
            try:
                return use(iter(partial(source.read, piece_bytes), b""))
            finally:
                source.close()

        return await self._stoppable(sql, call, None)

    async def _stoppable(
        self, sql: str, call: Callable[[Client, str, dict[str, Any] | None], T], limit: float | None
    ) -> T:
        """Run a query that ends when its caller is cancelled. Where a host is lost it is run on another."""
        left, ended = threading.Event(), threading.Event()
        clients: list[Client] = []
        mark = f"/* {uuid4().hex} */"

        def marked(client: Client, settings: dict[str, Any] | None) -> T:
            clients.append(client)
            ended.clear()
            try:
                if left.is_set():
                    raise ClickHouseUnavailable("nobody waits for the answer")
                return call(client, mark + sql, settings)
            finally:
                ended.set()

        try:
            return await self._query(marked, limit)
        except asyncio.CancelledError:
            left.set()
            if clients:
                self._ends.submit(self._end, mark, ended, clients[-1])
            raise

    def stream(self, sql: str, parameters: Parameters | None = None, *, format: str = "JSONEachRow") -> "ByteStream":
        """The answer of one query piece by piece, as it is computed: any size in little memory. Blocking, for a thread
        of the caller's own; it has a client of its own. To be closed. Limits have to stand in the SQL."""
        client = self._connect(self.database)
        return ByteStream(client, lambda: client.raw_stream(sql, dict(parameters or {}), fmt=format))

    async def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """A statement without an answer."""
        await self._run(self._inserts, lambda client: client.command(sql, dict(parameters or {})), is_insert=False)

    async def insert_ndjson(self, table: str, data: bytes, token: str = "", columns: Sequence[str] = ()) -> None:
        """Insert NDJSON lines; unknown fields are skipped. A repeat with the same `token` (and data) changes nothing.
        `columns`: the lines give these, also such as the table would compute (`MATERIALIZED`).

        Raises `ClickHouseRejected` only if the data itself is at fault, `ClickHouseUnavailable` for all else: what
        cannot be told apart is better tried again than thrown away.
        """
        if not IDENTIFIER.match(table):
            raise ClickHouseRejected(f"not a table name: {table!r}")
        settings = _INSERT_SETTINGS | ({"insert_deduplication_token": token} if token else {})
        if columns:
            table = f"{table} ({', '.join(f'`{name}`' for name in columns)})"
            settings |= {"insert_allow_materialized_columns": 1}
        await self._run(
            self._inserts,
            lambda client: self._insert(client, table, data, settings),
            is_insert=True,
        )

    async def create_database(self) -> None:
        """Create the database if it is missing; asking first lets a user without the right to create one work in an
        existing one.
        """
        await self._outside(self._create_database)

    async def server_versions(self) -> list[str]:
        """Return the versions of the server; of a cluster, of all its servers."""
        return await self._outside(self._server_versions)

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

    def _end(self, mark: str, ended: threading.Event, running: Client) -> None:
        """Stop the query that begins with `mark`, for which nobody waits; it may be about to begin. A server knows only
        queries that it was asked itself, so the client that runs it says so too: over HTTP it sends several requests at
        a time. One of chDB does not, and has one engine.
        """
        statement = f"KILL QUERY WHERE startsWith(query, '{mark}') ASYNC"
        for _ in range(_END_ATTEMPTS):
            if ended.wait(_END_SECONDS):
                return
            with suppress(DriverError):
                if self.is_embedded:
                    self._call(lambda client: client.command(statement))
                else:
                    running.command(statement)

    async def _run(self, pool: ThreadPoolExecutor, call: Callable[[Client], T], *, is_insert: bool) -> T:
        def in_thread() -> T:
            if self._away is not None and monotonic_seconds() < self._away_until:
                raise ClickHouseUnavailable(self._away)
            try:
                return self._call(call)
            except DriverError as error:
                if is_unreachable(error):
                    self._away, self._away_until = str(error), monotonic_seconds() + AWAY_SECONDS
                raise classify(error, is_insert=is_insert) from error
            except OSError as error:  # the disk of the embedded engine's files is full, say
                raise ClickHouseUnavailable(f"{type(error).__name__}: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(pool, in_thread)

    def _call(self, call: Callable[[Client], T]) -> T:
        """A host that cannot be reached any more has been asked nothing: the call is made of another."""
        try:
            return self._call_once(call)
        except DriverError as error:
            if getattr(self._local, "client", None) is None or not is_unreachable(error):
                raise
            self._drop_client()
        return self._call_once(call)

    def _call_once(self, call: Callable[[Client], T]) -> T:
        """chDB puts the rows of an answer that broke off (stopped, too slow, too large) before the next answer of the
        same connection, whoever asks: a connection whose call failed is used no more. Over HTTP answers are apart.
        """
        client = self._client()
        try:
            return call(client)
        except BaseException:
            if self.is_embedded:
                self._drop_client()
            raise

    def _client(self) -> Client:
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._connect(self.database)
            self._clients.append(client)
        return client

    def _drop_client(self) -> None:
        client = self._local.client
        self._local.client = None
        self._clients.remove(client)
        with suppress(DriverError):
            client.close()

    def _server_versions(self, client: Client) -> list[str]:
        servers = f"clusterAllReplicas('{self.cluster.name}', system.one)" if self.cluster else "system.one"
        found = client.query(f"SELECT DISTINCT version() FROM {servers}")  # noqa: S608 - a name of the settings, checked
        return [str(version) for (version,) in found.result_rows]

    def _create_database(self, client: Client) -> None:
        if self.database not in client.query("SELECT name FROM system.databases").result_columns[0]:
            client.command(f"CREATE DATABASE IF NOT EXISTS {self.database}{self.cluster.on if self.cluster else ''}")

    async def _outside(self, call: Callable[[Client], T]) -> T:
        """Run a call with a client of the engine's default database: the tables' own may not be there yet."""

        def in_thread() -> T:
            try:
                client = self._connect(None)
                try:
                    return call(client)
                finally:
                    client.close()
            except DriverError as error:
                raise classify(error, is_insert=False) from error

        return await asyncio.get_running_loop().run_in_executor(self._inserts, in_thread)


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
        except HTTPError as error:  # the server ends an answer that fails midway by cutting the connection
            raise ClickHouseUnavailable(f"the answer broke off: {error}") from error

    def close(self) -> None:
        with suppress(DriverError, OSError):
            if self._source is not None:
                self._source.close()
        with suppress(DriverError):
            self._client.close()


def _tuples(result: QueryResult) -> list[Row]:
    return [tuple(row) for row in result.result_rows]
