"""Traces over OpenTelemetry's SDK, sent by OTLP over HTTP. Imported only where traces are on.

Nothing global is set: no library that looks for OpenTelemetry begins spans of its own here. The exporter's usual
variables (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_CERTIFICATE`) and `OTEL_RESOURCE_ATTRIBUTES` hold.
"""

import logging
import random
import socket
from collections.abc import Iterable
from importlib.metadata import version
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

import requests
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pipeline.runtime.traces.span_queue import SpanQueue
from pipeline.runtime.traces.tracer import HEADER, MAX_LINKS, Attributes, Headers, Kind, Span

_SEND_SECONDS: Final = 5.0
"""Limit on one batch, with all its attempts."""
_PATH: Final = "/v1/traces"
_LIMITS: Final = SpanLimits(max_span_attributes=16, max_span_attribute_length=200, max_links=MAX_LINKS, max_events=0)
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class OtelSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(span, Context()))
        self.traceparent = carrier[HEADER].encode()

    @property
    def headers(self) -> Headers:
        return [(HEADER, self.traceparent)]

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def end(self, error: str = "") -> None:
        if error:
            self._span.set_status(trace.Status(trace.StatusCode.ERROR, error))
        self._span.end()


class OtelTracer:
    """Tracer of one process, which names itself `attrikit-…` to the collector. `processor`: what ended spans go to."""

    def __init__(self, processor: SpanProcessor, sample_ratio: float, process: str) -> None:
        self._sample_ratio = sample_ratio
        about = {
            "service.name": f"attrikit-{process}",
            "service.version": version("attrikit"),
            "service.instance.id": socket.gethostname(),
        }
        self._provider = TracerProvider(
            sampler=ParentBased(ALWAYS_ON),
            resource=Resource.create(about),
            shutdown_on_exit=False,
            span_limits=_LIMITS,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("attrikit")

    def begin(self, name: str, traceparent: bytes) -> Span | None:
        context = _context_of(traceparent)
        # Drawn here: the SDK takes 5 us to say no.
        if not context and random.random() >= self._sample_ratio:  # noqa: S311 - chooses what to look at
            return None
        span = self._tracer.start_span(name, context, trace.SpanKind.SERVER)
        return OtelSpan(span) if span.is_recording() else None

    def follow(self, name: str, kind: Kind, traceparents: Iterable[bytes], attributes: Attributes) -> Span | None:
        some = islice(dict.fromkeys(traceparents), MAX_LINKS + 1)
        contexts = [trace.get_current_span(_context_of(one)).get_span_context() for one in some if one]
        recorded = [context for context in contexts if context.is_valid and context.trace_flags.sampled]
        if not recorded:
            return None
        parent = trace.set_span_in_context(trace.NonRecordingSpan(recorded[0]), Context())
        links = [trace.Link(context) for context in recorded[1:]]
        span = self._tracer.start_span(name, parent, trace.SpanKind[kind.name], attributes, links)
        return OtelSpan(span) if span.is_recording() else None

    def close(self) -> None:
        self._provider.shutdown()


def open_tracer(endpoint: str, sample_ratio: float, process: str) -> OtelTracer:
    """Return a tracer that sends to a collector."""
    reason = _LastReason()
    session = requests.Session()
    session.trust_env = False  # no proxies or credentials from the environment
    exporter = trace_exporter.OTLPSpanExporter(url_of(endpoint), timeout=_SEND_SECONDS, session=session)
    return OtelTracer(SpanQueue(exporter, reason.take), sample_ratio, process)


def url_of(endpoint: str) -> str:
    """Return the address spans are posted to: without a path it is the one that OTLP has."""
    return endpoint.rstrip("/") + _PATH if urlsplit(endpoint).path in ("", "/") else endpoint


def _context_of(traceparent: bytes) -> Context:
    """Return the context of a span in another process; an empty one where there is none, or none that can be read."""
    if not traceparent:
        return Context()
    return _PROPAGATOR.extract({HEADER: traceparent.decode("latin-1")}, Context())


class _LastReason(logging.Filter):
    """Takes the exporter's lines out of the log, where each attempt would be one, and keeps the newest for ours."""

    def __init__(self) -> None:
        super().__init__()
        self._line = ""
        logging.getLogger(trace_exporter.__name__).addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR or not self._line:
            self._line = record.getMessage()[:300]
        return False

    def take(self) -> str:
        line, self._line = self._line, ""
        return line
