"""A stand-in for a ClickHouse server: ClickHouse's HTTP protocol in front of chDB, the same engine in this process.

It is no server: one engine, one user, no replicas. What it shows is the client's way over HTTP with real answers:
parameters, settings, compression, errors, pieces of long answers, the stopping of queries, TLS, a host that is away.

With `shards` it knows a cluster `main`, whose shards are this one engine: `Distributed` tables, the planning of their
queries and the merging of the shards' answers are ClickHouse's own, and each shard sees those rows of a local table
that its sharding key gives it (`additional_table_filters`, `shardNum()`). There is no Keeper, so `ON CLUSTER` is left
out of statements and tables are not replicated.

As a process: `python clickhouse_over_chdb.py --data FOLDER [--host HOST] [--port PORT] [--shards N]`.
"""

import argparse
import gzip
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import clickhouse_connect
from backports import zstd
from clickhouse_connect.driver._backend.chdb_backend import ChdbBackend
from clickhouse_connect.driver.exceptions import DatabaseError

from pipeline.runtime.clickhouse.connect import chdb_connector

if TYPE_CHECKING:
    from certificates import Authority

_OF_PROTOCOL = {"query", "database", "default_format", "session_id", "query_id", "wait_end_of_query", "compress"}
_OF_PROTOCOL |= {"enable_http_compression", "client_protocol_version", "role"}
_OF_PROGRESS = {"send_progress_in_http_headers", "http_headers_progress_interval_ms"}
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
_INSERT = re.compile(rb"\s*INSERT\s+INTO\s+([\w.`]+(?:\s*\([^)]*\))?)\s+FORMAT\s+(\w+)\s*?(?:\n|\Z)", re.IGNORECASE)
"""A statement whose rows follow it."""
_COMMAND = re.compile(r"\s*(?!SELECT|WITH|/\*)", re.IGNORECASE)
_BY_PIECES = {"JSONEachRow", "TabSeparated", "CSV"}
_NOT_FOUND, _BAD_REQUEST, _FORBIDDEN = {60, 81}, {47, 62, 27, 117}, {516}
_PIECE_BYTES = 1 << 20
_REPLICATED = re.compile(r"ReplicatedReplacingMergeTree\('[^']*', '[^']*'(?:, )?")
_SHARDS = re.compile(r"ENGINE = Distributed\('\w+', '(\w+)', '(\w+)', (.*)\)\s*\Z")
_READS = re.compile(r"\s*(?:/\*.*?\*/\s*)*(?:SELECT|WITH|INSERT)\b", re.IGNORECASE)
_SHARD = "<shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>"


class StandIn(ThreadingHTTPServer):
    """Serves the chDB under `directory`. `password`: of the user `default`; empty: anybody may come."""

    daemon_threads = True

    def __init__(
        self,
        directory: Path,
        authority: "Authority | None" = None,
        password: str = "",
        address: tuple[str, int] = ("127.0.0.1", 0),
        shards: int = 0,
    ) -> None:
        super().__init__(address, _Request)
        self._scheme = "http" if authority is None else "https"
        self.password = password
        self.requests: list[Mapping[str, str]] = []
        """Parameters of the address of each request that came; `query` is the statement, also out of the body."""
        self.before: Callable[[str], object] = lambda _: None
        """Called with each statement before it runs."""
        self._connections: list[socket.socket] = []
        self.shards = Shards(shards)
        self._first: Any = _connect_to_shards(directory, shards) if shards else chdb_connector(directory)(None)
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority.issue("clickhouse"))
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        user = f"default:{self.password}@" if self.password else ""
        return f"{self._scheme}://{user}127.0.0.1:{self.port}"

    def connect(self) -> "Engine":
        return Engine(ChdbBackend(connection_string=self._first._backend.connection_string))

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def server_close(self) -> None:
        """End as a server does whose process ends: with its connections."""
        super().server_close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._first.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


def _connect_to_shards(directory: Path, shards: int) -> Any:
    """`127.0.0.1` and the port of the configuration: shards that the engine asks in its own process."""
    configuration = directory.parent / "shards.xml"
    cluster = f"<remote_servers><main>{_SHARD * shards}</main></remote_servers>"
    directory.mkdir(parents=True, exist_ok=True)
    configuration.write_text(f"<clickhouse><tcp_port>9000</tcp_port>{cluster}</clickhouse>")
    options = {"config-file": str(configuration)}
    return clickhouse_connect.get_client(interface="chdb", path=str(directory), chdb_options=options)


class Shards:
    """What each shard sees of the local tables, learned from the `Distributed` tables that are made over them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._filters: dict[str, str] = {}

    def for_one_engine(self, sql: str) -> str:
        """Return the statement without what takes a Keeper."""
        if not self.count or _READS.match(sql):
            return sql
        if found := _SHARDS.search(sql):
            self._filters[f"{found[1]}.{found[2]}"] = f"({found[3]}) % {self.count} = shardNum() - 1"
        plain = _REPLICATED.sub("ReplacingMergeTree(", re.sub(r" ON CLUSTER '\w+'", "", sql, count=1))
        return re.sub(r"(?<!non_)replicated_deduplication_window", "non_replicated_deduplication_window", plain)

    def settings(self, sql: str) -> dict[str, str]:
        """Return the settings of a statement that reads."""
        if not self._filters or not _READS.match(sql):
            return {}
        return {"additional_table_filters": str(self._filters)}


class Engine:
    """The engine as one HTTP connection sees it: what is set in one is not seen in another.

    Settings are those of a request, as with a server; only what differs from the request before is set anew.
    """

    def __init__(self, backend: ChdbBackend) -> None:
        self._backend = backend
        self._set: dict[str, str] = {}

    def run(self, sql: str, named: str, given: Mapping[str, str]) -> bytes:
        try:
            self._prepare(given)
            result = self._backend._run(sql, named, params=_parameters(given), database=given.get("database"))
        except DatabaseError:
            self._reopen()
            raise
        return bytes(result.bytes() or b"")

    def _reopen(self) -> None:
        """chDB puts the rows of an answer that broke off before the next one of the same connection."""
        self._backend.close()
        self._backend, self._set = ChdbBackend(connection_string=self._backend.connection_string), {}

    @contextmanager
    def stream(self, sql: str, named: str, given: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        """The answer piece by piece. Raises `DatabaseError`, also in the middle."""
        self._prepare(given)
        found = self._backend._open_stream(sql, named, _parameters(given), given.get("database"))
        try:
            yield (bytes(piece.bytes()) for piece in found)
        except RuntimeError as error:
            raise self._backend._wrap_exception(error) from error
        finally:
            found.close()
            self._backend._handle.stream_owner = None
            self._backend._handle.lock.release()

    def close(self) -> None:
        self._backend.close()

    def _prepare(self, given: Mapping[str, str]) -> None:
        wanted = _settings(given)
        for name in self._set.keys() - wanted.keys():
            self._backend._run(f"SET {name} = DEFAULT", "TabSeparated")
        changed = {name: value for name, value in wanted.items() if self._set.get(name) != value}
        self._set = {}  # if one of them is refused, all are set again next time
        for name, value in changed.items():
            self._backend.set_client_setting(name, value)
        self._set = wanted


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StandIn

    def setup(self) -> None:
        super().setup()
        self._engine = self.server.connect()

    def finish(self) -> None:
        self._engine.close()
        super().finish()

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self._read()
        if urlsplit(self.path).path == "/ping":
            self._send(b"Ok.\n", "TabSeparated")
            return
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        query = given.get("query", "") + body[:300].decode(errors="replace")
        self.server.requests.append(given | {"query": query})
        self.server.before(query)
        if (kind := self.headers.get("Content-Type", "")).startswith("multipart/form-data"):
            given |= _form(kind, body)  # where parameters are too long for an address
            body = b""
        try:
            self._check_password()
            self._answer(given, body)
        except DatabaseError as error:
            self._refuse(error)

    def _answer(self, given: dict[str, str], body: bytes) -> None:
        statement = b"\n".join(part for part in (given.get("query", "").encode(), body) if part)
        insert = _INSERT.match(statement)
        if insert is not None:
            self._insert(insert, statement[insert.end() :], given)
            return
        sql = self.server.shards.for_one_engine(statement.decode())
        given = given | self.server.shards.settings(sql)
        found = _FORMAT.search(sql)
        named = found[1] if found else given.get("default_format", "TabSeparated")
        if named in _BY_PIECES and "wait_end_of_query" not in given and not _COMMAND.match(sql):
            self._send_pieces(sql, named, given)
        else:
            self._send(self._engine.run(sql, named, given), named)

    def _insert(self, insert: re.Match[bytes], rows: bytes, given: dict[str, str]) -> None:
        if self.server.shards.count:  # all shards write one table here: the second one's rows are no repeat
            given.pop("insert_deduplication_token", None)
        with NamedTemporaryFile(suffix=".rows") as file:
            file.write(rows)
            file.flush()
            into, kind = insert[1].decode(), insert[2].decode()
            sql = f"INSERT INTO {into} FROM INFILE '{file.name}' FORMAT {kind}"
            if "insert_allow_materialized_columns" in given:  # from a file chDB does not take such columns
                sql = f"INSERT INTO {into} SELECT * FROM file('{file.name}', {kind}, '{self._structure(into, given)}')"
            self._send(self._engine.run(sql, "TabSeparated", given), "TabSeparated")

    def _structure(self, into: str, given: Mapping[str, str]) -> str:
        """Return the names and types of the columns of `table (column, …)`."""
        table, _, listed = into.partition(" (")
        asked = f"SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '{table}'"
        found = self._engine.run(asked, "JSONEachRow", {"database": given["database"]}).splitlines()
        types = {f"`{row['name']}`": row["type"] for row in map(json.loads, found)}
        return ", ".join(f"{name} {types[name]}" for name in listed.rstrip(")").split(", ")).replace("'", "\\'")

    def _read(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b"".join(iter(self._read_chunk, b""))
        unpack = {"gzip": gzip.decompress, "zstd": zstd.decompress}.get(self.headers.get("Content-Encoding", ""))
        return unpack(data) if unpack else data

    def _read_chunk(self) -> bytes:
        chunk = self.rfile.read(int(self.rfile.readline().split(b";")[0], 16))
        self.rfile.readline()
        return chunk

    def _check_password(self) -> None:
        given = b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if self.server.password and given != f"default:{self.server.password}":
            raise DatabaseError("Code: 516. DB::Exception: default: Authentication failed", code=516)

    def _send(self, answer: bytes, named: str) -> None:
        accepted = self.headers.get("Accept-Encoding", "")
        encoding = next((name for name in ("zstd", "gzip") if name in accepted), "")
        if encoding:
            answer = zstd.compress(answer) if encoding == "zstd" else gzip.compress(answer)
        self._begin(
            200, named, {"Content-Length": str(len(answer))} | ({"Content-Encoding": encoding} if encoding else {})
        )
        self.wfile.write(answer)

    def _send_pieces(self, sql: str, named: str, given: dict[str, str]) -> None:
        """Send an answer as it is computed. A failure after its beginning cuts the connection, as a server does."""
        has_begun = False
        try:
            with self._engine.stream(sql, named, given) as pieces:
                for piece in pieces:
                    if not has_begun:
                        self._begin(200, named, {"Transfer-Encoding": "chunked"})
                        has_begun = True
                    self._send_chunk(piece)
        except DatabaseError as error:
            if not has_begun:
                raise
            self._send_chunk(str(error).encode())
            self.close_connection = True
            return
        if not has_begun:
            self._begin(200, named, {"Transfer-Encoding": "chunked"})
        self.wfile.write(b"0\r\n\r\n")

    def _send_chunk(self, data: bytes) -> None:
        for begin in range(0, len(data), _PIECE_BYTES):
            piece = data[begin : begin + _PIECE_BYTES]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def _refuse(self, error: DatabaseError) -> None:
        code = error.code or 0
        status = 404 if code in _NOT_FOUND else 400 if code in _BAD_REQUEST else 403 if code in _FORBIDDEN else 500
        text = str(error).encode()
        headers = {"X-ClickHouse-Exception-Code": str(code), "Content-Length": str(len(text))}
        self._begin(status, "TabSeparated", headers)
        self.wfile.write(text)

    def _begin(self, status: int, named: str, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        fixed = {"X-ClickHouse-Format": named, "X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Summary": json.dumps({})}
        for name, value in (fixed | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing on standard error."""


def _form(kind: str, body: bytes) -> dict[str, str]:
    """The fields of a form: the statement as `query`, and parameters."""
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body, policy=HTTP)
    parts = message.iter_parts()
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True).decode() for part in parts
    }


def _settings(given: Mapping[str, str]) -> dict[str, str]:
    no_settings = _OF_PROTOCOL | _OF_PROGRESS
    return {name: value for name, value in given.items() if name not in no_settings and not name.startswith("param_")}


def _parameters(given: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix("param_"): value for name, value in given.items() if name.startswith("param_")}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=0)
    given = parser.parse_args(arguments)
    server = StandIn(given.data / "clickhouse", address=(given.host, given.port), shards=given.shards)
    # `shutdown` waits for the loop that this thread runs.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(server.port, flush=True)
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()


@contextmanager
def standing_in(directory: Path, authority: "Authority | None" = None, password: str = "") -> Iterator[StandIn]:
    """Serve the chDB under `directory` (`Settings.data_dir / "clickhouse"`) until the end of the block."""
    server = StandIn(directory, authority, password)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def standing_in_process(folder: Path, shards: int) -> Iterator[str]:
    """Serve a chDB of its own, with a cluster `main` of so many shards, from a process; give its address."""
    command = [sys.executable, __file__, "--data", str(folder), "--port", "0", "--shards", str(shards)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
