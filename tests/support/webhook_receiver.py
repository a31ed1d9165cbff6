"""A receiver of webhooks over HTTP, in threads."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Receiver:
    """Answers `status` of the path, 200 by default, and keeps what came."""

    def __init__(self) -> None:
        self.status: dict[str, int] = defaultdict(lambda: 200)
        self.calls: dict[str, list[tuple[dict[str, str], bytes]]] = defaultdict(list)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.calls[self.path].append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.status[self.path])
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"seen")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def messages(self, path: str) -> list[Any]:
        return [json.loads(body) for _, body in self.calls[path]]


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    made = Receiver()
    Thread(target=made.server.serve_forever, daemon=True).start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
