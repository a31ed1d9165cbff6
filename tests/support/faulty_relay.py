"""An HTTP proxy between pages and a gateway that fails as networks and load balancers do.

It passes requests on as they are. Of the reports, one in five fails: half of those the gateway never sees (503, which
pages can read), of the others it is the answer that is lost (502 without CORS headers, which pages cannot read). While
`is_down`, connections are closed without an answer.
"""

import threading
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Final

REPORT: Final = "/v1/events/batch"
_HOP_HEADERS: Final = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_SECONDS: Final = 30.0
_FAILS: Final = 0.2


class FaultyRelay:
    def __init__(self, target_port: int, seed: int) -> None:
        """`seed`: which reports fail."""
        self.is_down = False
        self.answers: list[int] = []
        """Statuses of the answers to reports, in order; 0: none."""
        self._random = Random(seed)
        self._lock = threading.Lock()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                relay._serve(self, target_port)

            do_POST = do_OPTIONS = do_GET

            def log_message(self, *_args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _serve(self, request: BaseHTTPRequestHandler, target_port: int) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        status = self._draw() if request.path.startswith(REPORT) else 200
        if status == 0:
            request.close_connection = True
            return
        if status == 503:
            self._answer(request, 503, [("Access-Control-Allow-Origin", request.headers.get("Origin", "*"))], b"")
            return
        far = HTTPConnection("127.0.0.1", target_port, timeout=_SECONDS)
        try:
            far.request(request.command, request.path, body, dict(request.headers))
            answer = far.getresponse()
            self._pass_on(request, answer, status)
        finally:
            far.close()

    def _draw(self) -> int:
        """Draw the fate of a report: 200 the gateway's answer, 502 its answer is lost, 503 it never came, 0 silence."""
        with self._lock:
            fails = self._random.random() < _FAILS
            status = 0 if self.is_down else self._random.choice([502, 503]) if fails else 200
            self.answers.append(status)
        return status

    def _pass_on(self, request: BaseHTTPRequestHandler, answer: HTTPResponse, status: int) -> None:
        body = answer.read()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_HEADERS]
        if status == 502:
            self._answer(request, 502, [], b"")
        else:
            self._answer(request, answer.status, headers, body)

    @staticmethod
    def _answer(request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        try:
            request.send_response_only(status)
            for name, value in (*headers, ("Content-Length", str(len(body)))):
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)
        except OSError:
            pass  # The page is gone.
