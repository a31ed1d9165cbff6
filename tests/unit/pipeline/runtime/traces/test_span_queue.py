"""Spans go in batches from a thread; a collector that is away or slow costs spans, and nothing else."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from kept_spans import RECORDED, recorded
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from pipeline.runtime.traces import span_queue
from pipeline.runtime.traces.metrics import DROPPED, SENT
from pipeline.runtime.traces.otel import OtelTracer
from pipeline.runtime.traces.span_queue import BATCH_SPANS, SpanQueue, size_of
from pipeline.runtime.traces.tracer import MAX_LINKS, Kind

PATIENCE_SECONDS = 30.0


class Exporter(SpanExporter):
    """Keeps the sizes of batches; `gate` holds a batch back, as a collector that does not answer would."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.result = SpanExportResult.SUCCESS
        self.began = threading.Event()
        self.done = threading.Semaphore(0)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.began.set()
        self.gate.wait(PATIENCE_SECONDS)
        self.batches.append(len(spans))
        self.done.release()
        return self.result

    def shutdown(self) -> None:
        self.gate.set()


def counts() -> tuple[float, float, float]:
    """Return how many were sent, did not fit, and could not be sent."""
    dropped = (DROPPED.labels(reason)._value.get() for reason in ("queue_full", "not_sent"))
    return SENT._value.get(), *dropped  # type: ignore[return-value]


@pytest.fixture
def counted() -> Callable[[], list[float]]:
    before = counts()
    return lambda: [now - then for now, then in zip(counts(), before, strict=True)]


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exporter]:
    monkeypatch.setattr(span_queue, "GATHER_SECONDS", 0.05)
    made = Exporter()
    yield made
    made.gate.set()


def tracer_over(exporter: Exporter, limit_bytes: int = span_queue.MAX_WAITING_BYTES) -> OtelTracer:
    return OtelTracer(SpanQueue(exporter, lambda: "away", limit_bytes), 1.0, "test")


def make_spans(tracer: OtelTracer, count: int) -> None:
    for _ in range(count):
        span = tracer.begin("step", b"")
        assert span is not None
        span.end()


def test_all_are_sent_by_the_end(exporter: Exporter, counted: Callable[[], list[float]]) -> None:
    tracer = tracer_over(exporter)
    make_spans(tracer, 2 * BATCH_SPANS + 5)
    tracer.close()
    assert sum(exporter.batches) == 2 * BATCH_SPANS + 5
    assert max(exporter.batches) <= BATCH_SPANS
    assert counted() == [2 * BATCH_SPANS + 5, 0, 0]


def test_a_lone_span_is_sent_soon(exporter: Exporter) -> None:
    tracer = tracer_over(exporter)
    make_spans(tracer, 1)
    assert exporter.done.acquire(timeout=PATIENCE_SECONDS)
    assert exporter.batches == [1]
    tracer.close()


def test_what_does_not_fit_is_dropped_and_counted_and_nothing_waits(
    exporter: Exporter, counted: Callable[[], list[float]]
) -> None:
    exporter.gate.clear()
    tracer = tracer_over(exporter, limit_bytes=10 * size_of(ReadableSpan("step")))
    make_spans(tracer, 1)
    assert exporter.began.wait(PATIENCE_SECONDS)
    make_spans(tracer, 20)
    assert counted() == [0, 11, 0]
    exporter.gate.set()
    tracer.close()
    assert sum(exporter.batches) == 10
    assert counted() == [10, 11, 0]


def test_a_batch_that_was_not_taken_is_counted_and_told_once_in_a_while(
    exporter: Exporter, counted: Callable[[], list[float]]
) -> None:
    exporter.result = SpanExportResult.FAILURE
    with capture_logs() as lines:
        tracer = tracer_over(exporter)
        for _ in range(3):
            make_spans(tracer, 1)
            assert exporter.done.acquire(timeout=PATIENCE_SECONDS)
        tracer.close()
    assert counted() == [0, 0, 3]
    told = [(line["event"], line["spans"], line["last_reason"]) for line in lines]
    assert told == [("spans_dropped", 1, "away"), ("spans_dropped", 2, "away")]  # the second at the end


def test_the_end_of_a_process_waits_for_a_collector_that_hangs_for_its_time_only(
    exporter: Exporter, counted: Callable[[], list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_queue, "CLOSE_SECONDS", 0.05)
    exporter.gate.clear()
    exporter.shutdown = lambda: None  # type: ignore[method-assign]
    tracer = tracer_over(exporter)
    make_spans(tracer, 1)
    assert exporter.began.wait(PATIENCE_SECONDS)
    make_spans(tracer, 5)
    with capture_logs() as lines:
        tracer.close()
    assert counted() == [0, 0, 5]
    assert [line["spans"] for line in lines] == [5]
    make_spans(tracer, 1)
    assert counted() == [0, 1, 5]


def test_a_span_counts_by_its_links_and_texts(exporter: Exporter) -> None:
    sizes: list[int] = []

    class Sized(SpanQueue):
        def on_end(self, span: ReadableSpan) -> None:
            sizes.append(size_of(span))

    tracer = OtelTracer(Sized(exporter, str), 1.0, "test")
    for traceparents, text in (([RECORDED], ""), ([RECORDED], "x" * 100), (map(recorded, range(99)), "")):
        span = tracer.follow("step", Kind.INTERNAL, traceparents, {"text": text})
        assert span is not None
        span.end()
    tracer.close()
    lone, with_text, with_links = sizes
    assert with_text == lone + 100
    assert with_links == lone + 600 * MAX_LINKS
