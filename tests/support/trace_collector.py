"""A collector of traces: an HTTP server that takes OTLP, decoded with OpenTelemetry's messages, and keeps the spans."""

import gzip
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Received:
    """A span as the collector has it."""

    service: str
    name: str
    trace: bytes
    id: bytes
    parent: bytes
    links: tuple[bytes, ...]
    """Traces it is linked to."""
    attributes: dict[str, Any]
    error: str
    seconds: float


class Collector:
    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.paths: set[str] = set()
        self.status = 200
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.paths.add(self.path)
                if collector.status == 200:
                    is_packed = self.headers.get("Content-Encoding") == "gzip"
                    collector.spans += _decode(gzip.decompress(body) if is_packed else body)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._handler = Handler
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.come()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def come(self) -> None:
        """Listen, where it listened before."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._port = self._server.server_port
        Thread(target=self._server.serve_forever, daemon=True).start()

    def go(self) -> None:
        """Be away: connections are refused."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def of_trace(self, trace: bytes) -> list[Received]:
        return [span for span in list(self.spans) if span.trace == trace]

    def names(self, trace: bytes) -> set[str]:
        return {span.name for span in self.of_trace(trace)}

    def wait_for(self, trace: bytes, names: set[str], seconds: float = 60.0) -> None:
        """Return when the trace has spans of these names, in whatever order they came."""
        deadline = time.monotonic() + seconds
        while missing := names - self.names(trace):
            assert time.monotonic() < deadline, f"no {sorted(missing)} beside {sorted(self.names(trace))}"
            time.sleep(0.05)


@contextmanager
def running_collector() -> Iterator[Collector]:
    made = Collector()
    try:
        yield made
    finally:
        made.go()


def _decode(body: bytes) -> list[Received]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Received(
            service=str(_values(resource.resource.attributes)["service.name"]),
            name=span.name,
            trace=span.trace_id,
            id=span.span_id,
            parent=span.parent_span_id,
            links=tuple(link.trace_id for link in span.links),
            attributes=_values(span.attributes),
            error=span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else "",
            seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _values(attributes: Iterable[Any]) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
