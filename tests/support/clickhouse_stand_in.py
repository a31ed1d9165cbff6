"""ClickHouse over HTTP without a server: what it is asked is answered by chDB, so that the driver meets real answers.

A query that holds `hanging` runs until it is killed, as a long one would; every statement is kept.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_HANGING_SECONDS = 30.0
_KILL = re.compile(r"KILL QUERY WHERE startsWith\(query, '(.+?)'\) ASYNC")
_QUERY_WAS_CANCELLED = 394

Engine = Callable[[str], bytes]
"""Answers a statement that names its format."""


class StandIn(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, engine: Engine) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.engine = engine
        self.statements: list[str] = []
        self.running: dict[str, threading.Event] = {}
        """Queries that hang → set when they are killed."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, statement: str) -> tuple[int, bytes]:
        self.statements.append(statement)
        if kill := _KILL.match(statement):
            for query, killed in list(self.running.items()):
                if query.startswith(kill[1]):
                    killed.set()
            return 200, b""
        if "hanging" not in statement:
            return 200, self.engine(statement)
        killed = self.running.setdefault(statement, threading.Event())
        is_killed = killed.wait(_HANGING_SECONDS)
        del self.running[statement]
        return (500, b"Code: 394. DB::Exception: Query was cancelled.") if is_killed else (200, b"")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        given = parse_qs(urlsplit(self.path).query).get("query", [""])[0]
        status, answer = self.server.answer("\n".join(part for part in (given, body) if part))
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        if status != 200:
            self.send_header("X-ClickHouse-Exception-Code", str(_QUERY_WAS_CANCELLED))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing on standard error."""


@contextmanager
def standing_in(engine: Engine) -> Iterator[StandIn]:
    server = StandIn(engine)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
