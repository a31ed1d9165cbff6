"""Prometheus metrics of traces."""

from typing import Final

from prometheus_client import Counter

SENT: Final = Counter("attrikit_traces_sent_spans", "Spans the collector of traces has taken")
DROPPED: Final = Counter(
    "attrikit_traces_dropped_spans",
    "Spans that no collector has, by reason: `queue_full`, `not_sent`",
    ("reason",),
)
