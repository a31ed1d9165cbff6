"""A small HTTP server that stands for a site and for a gateway, as far as the browser SDK meets them.

Any path is a page whose HTML `pages` holds (else an empty one with the SDK in it); `/sdk/latest/attrikit.min.js` is the
built script; `POST /v1/events/batch` and `/v1/visitor` answer as the gateway does, or as `faults` says. It keeps every
request and every event it accepted. Not the gateway: `tests/e2e/test_sdk.py` meets that.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from node import SDK

VERSION: str = json.loads((SDK / "packages" / "web-sdk" / "package.json").read_text())["version"]
_LOOK_SECONDS = 0.02
"""How long closing may take at most."""
SCRIPT = SDK / "served" / VERSION / "attrikit.min.js"


@dataclass
class Seen:
    """A request that came in."""

    method: str
    path: str
    host: str
    headers: dict[str, str]
    body: str


@dataclass
class Fault:
    """An answer to the next report instead of the usual one. `is_stored`: its events are kept all the same. `status` 0:
    the connection is closed without an answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    is_stored: bool = False


class SdkServer:
    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.page_headers: dict[str, str] = {}
        self.seen: list[Seen] = []
        self.events: list[dict[str, Any]] = []
        """Accepted, each once, in order."""
        self.sent: list[str] = []
        """Ids of events as they came, repeats included."""
        self.faults: deque[Fault] = deque()
        self.answers = threading.Event()
        """Requests are answered while it is set; cleared, they wait for half a minute at most."""
        self.answers.set()
        self.is_down = False
        self.is_bad: Callable[[dict[str, Any]], bool] = lambda event: False
        """An event for which a whole batch is refused with 400."""
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._get(self)

            def do_POST(self) -> None:
                server._post(self)

            def do_OPTIONS(self) -> None:
                server._note(self, "")
                server._answer(self, 204, b"", {})

            def log_message(self, *_args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port: int = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(_LOOK_SECONDS,), daemon=True).start()

    def url(self, host: str = "127.0.0.1", path: str = "/") -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def reports(self) -> list[Seen]:
        return [one for one in self.seen if one.method == "POST" and one.path.startswith("/v1/events/batch")]

    def named(self, *names: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event_name"] in names]

    def wait(self, is_there: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Return what `is_there` returns as soon as that is true."""
        deadline = time.monotonic() + seconds
        while not (found := is_there()):
            assert time.monotonic() < deadline, f"not there after {seconds} s; events: {self._summary()}"
            time.sleep(0.02)
        return found

    def _summary(self) -> list[str]:
        return [f"{event['event_name']} {event['context']['page']['url']}" for event in self.events][-20:]

    def _note(self, request: BaseHTTPRequestHandler, body: str) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._lock:
            self.seen.append(Seen(request.command, request.path, headers.get("host", ""), headers, body))

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        self._note(request, "")
        path = urlsplit(request.path).path
        if path.startswith("/sdk/"):
            self._answer(request, 200, SCRIPT.read_bytes(), {"Content-Type": "text/javascript"})
        elif path == "/favicon.ico":
            self._answer(request, 200, b"", {})
        else:
            html = self.pages.get(path, self.page())
            self._answer(request, 200, html.encode(), {"Content-Type": "text/html; charset=utf-8"} | self.page_headers)

    def page(self, options: str = "", head: str = "", endpoint_host: str = "127.0.0.1") -> str:
        """A page with the SDK. `options`: further ones of `init`, as JavaScript."""
        src = self.url(endpoint_host, "/sdk/latest/attrikit.min.js")
        return (
            f"<!doctype html><title>page</title>{head}<script src='{src}'></script>"
            f"<script>var errors=[];AttriKit.init({{appId:'shop',onError:function(e){{errors.push(e)}},"
            f"{options.strip(',')}}})</script>"
        )

    def _post(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0)).decode()
        self._note(request, body)
        cors = {
            "Access-Control-Allow-Origin": request.headers.get("Origin", "*"),
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "Retry-After",
        }
        if request.path.startswith("/v1/visitor"):
            self._visitor(request, body, cors)
            return
        query = parse_qs(urlsplit(request.path).query)
        if self.is_down:
            request.close_connection = True
            return
        assert query["app_id"] == ["shop"], request.path
        events = json.loads(body)["events"]
        with self._lock:
            fault = self.faults.popleft() if self.faults else None
            if fault is None and any(map(self.is_bad, events)):
                fault = Fault(400)
            results = self._store(events) if fault is None or fault.is_stored else []
        self.answers.wait(30)
        if fault is None:
            answer = {"success": True, "data": {"accepted": len(events), "rejected": 0, "results": results}}
            self._answer(request, 201, json.dumps(answer).encode(), cors)
        elif fault.status:
            self._answer(request, fault.status, fault.body.encode(), cors | fault.headers)
        else:
            request.close_connection = True

    def _store(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        results = []
        for index, event in enumerate(events):
            event_id = event["event_id"]
            known = any(one["event_id"] == event_id for one in self.events)
            status = "duplicate" if known else "accepted"
            error = {}
            if event["event_name"] != event["event_name"].lower():
                status = "rejected"
                error = {"error": {"code": "INVALID_EVENT_NAME", "message": "no", "details": {}}}
            elif not known:
                self.events.append(event)
            self.sent.append(event_id)
            results.append({"index": index, "event_id": event_id, "status": status} | error)
        return results

    def _visitor(self, request: BaseHTTPRequestHandler, body: str, cors: dict[str, str]) -> None:
        cookies = dict(part.partition("=")[::2] for part in request.headers.get("Cookie", "").split("; "))
        visitor = cookies.get("attrikit_vid") or json.loads(body)["visitor_id"]
        domain = ".".join(request.headers["Host"].partition(":")[0].split(".")[-2:])
        where = "" if domain.replace(".", "").isdigit() else f"; Domain={domain}"
        cookie = f"attrikit_vid={visitor}; Path=/; Max-Age=34560000; SameSite=Lax{where}"
        self.answers.wait(30)
        answer = json.dumps({"success": True, "data": {"visitor_id": visitor, "is_cookie_set": True}}).encode()
        self._answer(request, 200, answer, cors | {"Set-Cookie": cookie})

    @staticmethod
    def _answer(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
        try:
            request.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)
        except OSError:
            pass  # The page is gone.
