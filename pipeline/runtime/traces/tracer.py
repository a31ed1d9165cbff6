"""Spans of traces, and what carries them on.

A *traceparent* is the W3C header of that name, as bytes: the trace, the span the next one follows, and whether the
trace is recorded. It goes with requests and with records of Kafka; empty: there is no trace. What is not recorded has
none, so nothing downstream has any work with it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Final, Protocol

from pipeline.runtime.connection_settings import TracesSettings
from pipeline.runtime.embedded import NotInstalled

HEADER: Final = "traceparent"
MAX_LINKS: Final = 32
"""Limit on the traces one span is linked to, beside the one it belongs to."""
_LONGEST: Final = 100
"""A traceparent has 55 characters; versions to come may have more."""

Attributes = Mapping[str, str | int | float | bool]
"""No ids of persons, no keys, no addresses: spans leave the machine."""
Headers = list[tuple[str, bytes]]
NO_HEADERS: Final[Headers] = []
CURRENT: Final[ContextVar[bytes]] = ContextVar("traceparent", default=b"")
"""Traceparent of the request that the running task answers, where that is recorded."""


class Kind(Enum):
    """Kind of a span, by OpenTelemetry's names: a request answered, a call made, a message sent or taken, own work."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"
    INTERNAL = "INTERNAL"


class Span(Protocol):
    """One step of a trace, from the call that made it to `end`."""

    traceparent: bytes

    @property
    def headers(self) -> Headers:
        """Headers of records that follow from this step."""
        ...

    def rename(self, name: str) -> None: ...

    def note(self, attributes: Attributes) -> None: ...

    def end(self, error: str = "") -> None:
        """End the step. `error`: a word for why it failed, which holds nothing of what was sent."""
        ...


class Tracer(Protocol):
    """Maker of spans. None stands for a span that is not recorded."""

    def begin(self, name: str, traceparent: bytes) -> Span | None:
        """Begin with a request: recorded if its caller's trace is; without one, as the sampling ratio has it."""
        ...

    def follow(self, name: str, kind: Kind, traceparents: Iterable[bytes], attributes: Attributes) -> Span | None:
        """Go on with traces that are there: in the first of them, linked to the others, of which the first `MAX_LINKS`
        count. None if there is none."""
        ...

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        ...


def traceparent_of(headers: Iterable[tuple[str, bytes | None]] | None) -> bytes:
    """Return the traceparent in the headers of a record; empty if there is none."""
    for name, value in headers or ():
        if name == HEADER and value is not None and len(value) <= _LONGEST:
            return value
    return b""


@contextmanager
def tracing(settings: TracesSettings, process: str) -> Iterator[Tracer | None]:
    """Hold the tracer of a process; None where traces are off. Raises `NotInstalled` where they are on without their
    packages."""
    tracer = _open(settings, process) if settings.traces_endpoint else None
    try:
        yield tracer
    finally:
        if tracer is not None:
            tracer.close()


def _open(settings: TracesSettings, process: str) -> Tracer:
    try:
        from pipeline.runtime.traces.otel import open_tracer
    except ModuleNotFoundError as error:
        raise NotInstalled(
            f"{error.name} is not installed here: leave ATTRIKIT_TRACES_ENDPOINT empty, or install `attrikit[tracing]`"
        ) from error
    return open_tracer(settings.traces_endpoint, settings.traces_sample_ratio, process)
