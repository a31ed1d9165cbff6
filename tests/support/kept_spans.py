"""Spans that are kept in memory, as the tracer of a process makes them."""

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pipeline.runtime.traces.otel import OtelTracer

TRACE = "5b8efff798038103d269b633813fc60c"
PARENT = "eee19b7ec3c1b174"
RECORDED = f"00-{TRACE}-{PARENT}-01".encode()
NOT_RECORDED = f"00-{TRACE}-{PARENT}-00".encode()


def recorded(number: int) -> bytes:
    """Return the traceparent of another trace."""
    return f"00-{number + 1:032x}-{number + 1:016x}-01".encode()


class KeptSpans:
    def __init__(self, sample_ratio: float = 0.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer = OtelTracer(SimpleSpanProcessor(self._exporter), sample_ratio, "test")

    @property
    def all(self) -> list[ReadableSpan]:
        """Spans that have ended, in that order."""
        return list(self._exporter.get_finished_spans())

    def by_name(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.all}


def traceparent_of(span: ReadableSpan) -> tuple[int, int]:
    """Return trace and span."""
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def parent_of(span: ReadableSpan) -> tuple[int, int] | None:
    return None if span.parent is None else (span.parent.trace_id, span.parent.span_id)
