"""Prometheus metrics of a worker. Labels are partitions and topics: few and known."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

EVENTS: Final = Counter("attrikit_stream_events_total", "Events applied", ["partition"])
ROWS: Final = Counter("attrikit_stream_rows_total", "Rows written and acknowledged", ["topic"])
REJECTED: Final = Counter("attrikit_stream_rejected_total", "Lines and events put aside in `rejected`")
FAILURES: Final = Counter("attrikit_stream_domain_failures_total", "Exceptions of the domain, each one event or wakeup")
FLUSHES: Final = Counter("attrikit_stream_flushes_total", "Groups committed", ["partition"])
FLUSH_SECONDS: Final = Histogram(
    "attrikit_stream_flush_seconds",
    "From closing a group to its acknowledgement",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
MARKS: Final = Counter(
    "attrikit_stream_marks_total", "Events found to be late or duplicates, by what they are", ["mark"]
)
STATES: Final = Counter("attrikit_stream_states_written_total", "Person states written to the changelog")
LAG: Final = Gauge("attrikit_stream_lag_messages", "Messages of `events` known and not yet processed", ["partition"])
PEOPLE_LAG: Final = Gauge(
    "attrikit_stream_people_lag_messages", "Messages of `people` known and not yet processed", ["partition"]
)
PEOPLE_SENT: Final = Counter(
    "attrikit_stream_people_sent_total", "Anonymous journeys handed over, and events forwarded after them", ["kind"]
)
WATERMARK_AGE: Final = Gauge(
    "attrikit_stream_watermark_age_seconds", "Wall clock minus watermark; NaN: no event yet", ["partition"]
)
PENDING: Final = Gauge("attrikit_stream_pending_sessions", "Persons with changes not published yet", ["partition"])
LIVE: Final = Gauge("attrikit_stream_live_persons", "Decoded states in memory", ["partition"])
ASSIGNED: Final = Gauge("attrikit_stream_partitions_assigned", "Partitions this worker owns and has recovered")
