"""Spans on their way to the collector of traces.

A span that ends costs its step no more than to be put down here. A thread sends what has gathered, in batches. While
the collector is away or slow nothing waits for it: what comes when the queue is full is dropped, and so is a batch that
could not be sent in time.

Not the SDK's `BatchSpanProcessor`: it counts spans, whatever their size, and tells nobody how many it has dropped.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.log import get_logger
from pipeline.runtime.traces.metrics import DROPPED, SENT

MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
"""Limit on the spans that wait or are being sent: at least 1,000."""
BATCH_SPANS: Final = 256
GATHER_SECONDS: Final = 1.0
"""A batch that does not fill up is sent after so long."""
CLOSE_SECONDS: Final = 3.0
"""Limit on what the end of a process waits for the collector."""
TELL_SECONDS: Final = 60.0
_SPAN_BYTES: Final = 3_000
_LINK_BYTES: Final = 600
"""Memory of a span with its attributes, and of a link (measured, Python 3.11); the attributes' text comes on top."""
_FULL: Final = DROPPED.labels("queue_full")
_NOT_SENT: Final = DROPPED.labels("not_sent")
_log = get_logger("traces")


class SpanQueue(SpanProcessor):
    """`reason`: why the exporter last failed."""

    def __init__(self, exporter: SpanExporter, reason: Callable[[], str], limit_bytes: int = MAX_WAITING_BYTES) -> None:
        self._exporter = exporter
        self._reason = reason
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[ReadableSpan, int]] = deque()
        self._held_bytes = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._untold = 0
        self._tell_at_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: a span counts when it ends."""

    def on_end(self, span: ReadableSpan) -> None:
        size_bytes = size_of(span)
        with self._changed:
            if self._is_closing or self._held_bytes + size_bytes > self._limit_bytes:
                self._drop(1, is_full=True)
                return
            self._waiting.append((span, size_bytes))
            self._held_bytes += size_bytes
            if len(self._waiting) in (1, BATCH_SPANS):
                self._changed.notify()

    def shutdown(self) -> None:
        """Send what waits; after `CLOSE_SECONDS` the rest is dropped."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(CLOSE_SECONDS)
        self._exporter.shutdown()  # ends the waits between its attempts
        with self._changed:
            if self._thread.is_alive():
                self._drop(len(self._waiting))
                self._waiting.clear()
            self._tell(at_once=True)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Refuse: nobody here waits for a collector."""
        return False

    def _run(self) -> None:
        while batch := self._next_batch():
            self._send([span for span, _ in batch])
            with self._changed:
                self._held_bytes -= sum(size_bytes for _, size_bytes in batch)
                self._tell()

    def _next_batch(self) -> list[tuple[ReadableSpan, int]]:
        """Wait for spans, and then for more of them; empty: it is closed, and none are left."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            self._changed.wait_for(lambda: len(self._waiting) >= BATCH_SPANS or self._is_closing, GATHER_SECONDS)
            return [self._waiting.popleft() for _ in range(min(BATCH_SPANS, len(self._waiting)))]

    def _send(self, spans: list[ReadableSpan]) -> None:
        if self._exporter.export(spans) is SpanExportResult.SUCCESS:
            SENT.inc(len(spans))
            return
        with self._changed:
            self._drop(len(spans))

    def _drop(self, spans: int, *, is_full: bool = False) -> None:
        (_FULL if is_full else _NOT_SENT).inc(spans)
        self._untold += spans

    def _tell(self, *, at_once: bool = False) -> None:
        """Say in the log how many were dropped, once in a while."""
        now_seconds = monotonic_seconds()
        if self._untold and (at_once or now_seconds >= self._tell_at_seconds):
            _log.warning("spans_dropped", spans=self._untold, last_reason=self._reason())
            self._untold = 0
            self._tell_at_seconds = now_seconds + TELL_SECONDS


def size_of(span: ReadableSpan) -> int:
    """Return about how many bytes a span takes in memory."""
    texts = sum(len(value) for value in (span.attributes or {}).values() if isinstance(value, str))
    return _SPAN_BYTES + _LINK_BYTES * len(span.links) + texts
