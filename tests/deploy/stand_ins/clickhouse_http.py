"""A server in ClickHouse's place, for tests: its HTTP interface in front of chDB, the same engine as a library.

One process, one database folder, one statement at a time. Known: statements in the body or in `query`, `param_…`,
`database`, `insert_deduplication_token`, `/ping`, errors with ClickHouse's code. Every user may do everything.
"""

import argparse
import re
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from clickhouse_connect.driver.exceptions import ClickHouseError

from pipeline.runtime.clickhouse.connect import chdb_connector, insert_from_file

_INSERT = re.compile(
    r"\s*INSERT INTO\s+(?P<table>[\w.`]+)\s*(?:\([^)]*\))?\s*(?:SETTINGS .*?)?FORMAT\s+JSONEachRow", re.I | re.S
)
_ANSWERED = re.compile(r"\s*(/\*.*?\*/\s*)*(SELECT|WITH|SHOW|DESC|EXISTS|EXPLAIN|\()", re.I | re.S)
_FORMAT = re.compile(r"\s+FORMAT\s+(\w+)\s*\Z", re.I)
_CODE = re.compile(r"Code: (\d+)")
_INSERT_SETTINGS = ("insert_deduplication_token", "input_format_skip_unknown_fields")


class Engine:
    """chDB in `folder`. Its clients are not for several threads, so each statement waits for the one before."""

    def __init__(self, folder: Path) -> None:
        self._connect = chdb_connector(folder)
        self._spool = folder.parent / "spool"
        self._spool.mkdir(parents=True, exist_ok=True)
        self._clients: dict[str | None, Any] = {}
        self._one_at_a_time = threading.Lock()

    def answer(self, given: dict[str, str], body: bytes) -> bytes:
        in_url = given.get("query", "")
        database = given.get("database") or None
        insert = _INSERT.match(in_url) or _INSERT.match(body[:2_000].decode("utf-8", "replace"))
        with self._one_at_a_time:
            client = self._client(database)
            if insert is not None:
                rows = body if in_url else body[insert.end() :]
                settings = {name: given[name] for name in _INSERT_SETTINGS if name in given}
                insert_from_file(self._spool, client, insert["table"], rows, settings)
                return b""
            statement = "\n".join(part for part in (in_url, body.decode()) if part).rstrip().rstrip(";")
            bound = {name.removeprefix("param_"): value for name, value in given.items() if name.startswith("param_")}
            if _ANSWERED.match(statement) is None:
                client.command(statement, bound)
                return b""
            found = _FORMAT.search(statement)
            text = statement[: found.start()] if found else statement
            answer: bytes = client.raw_query(text, bound, None, found[1] if found else "TabSeparated")
            return answer

    def close(self) -> None:
        with self._one_at_a_time:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self, database: str | None) -> Any:
        if database not in self._clients:
            self._clients[database] = self._connect(database)
        return self._clients[database]


class ClickHouseHttp(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, folder: Path) -> None:
        super().__init__((host, port), _Handler)
        self.engine = Engine(folder)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ClickHouseHttp

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/ping":
            self._send(200, b"Ok.\n")
        else:
            self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def _answer(self, body: bytes) -> None:
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        try:
            self._send(200, self.server.engine.answer(given, body))
        except (ClickHouseError, OSError) as error:
            code = _CODE.search(str(error))
            headers = {"X-ClickHouse-Exception-Code": code[1]} if code else {}
            self._send(500, str(error).encode("utf-8", "replace"), headers)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args(arguments)
    server = ClickHouseHttp(given.host, given.port, given.data / "clickhouse")
    # `shutdown` waits for the loop that this thread runs.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()
        server.engine.close()


if __name__ == "__main__":
    main(sys.argv[1:])
