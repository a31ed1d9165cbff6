"""Prometheus metrics of the gateway. Label values come from closed sets (routes, codes, reasons), never from a
caller.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BYTES: Final = tuple(256 * 4**power for power in range(8))

REQUESTS: Final = Counter("attrikit_gateway_requests", "Answers, by route and status", ("route", "status"))
REQUEST_SECONDS: Final = Histogram(
    "attrikit_gateway_request_seconds", "From the first byte to the answer", ("route",), buckets=_SECONDS
)
ERRORS: Final = Counter("attrikit_gateway_errors", "Failed requests, by code of the contract", ("code",))
EVENTS: Final = Counter("attrikit_gateway_events", "Events by outcome: accepted, duplicate, rejected", ("outcome",))
REJECTED: Final = Counter("attrikit_gateway_rejected_events", "Rejected events, by code of the contract", ("code",))
REJECTS_DROPPED: Final = Counter(
    "attrikit_gateway_rejects_dropped", "Rejected events that could not be written to their topic"
)
IN_FLIGHT_BYTES: Final = Gauge(
    "attrikit_gateway_in_flight_bytes", "Bodies being handled and records awaiting acknowledgement"
)
PUBLISH_SECONDS: Final = Histogram(
    "attrikit_gateway_publish_seconds", "From the send of a record to its acknowledgement", buckets=_SECONDS
)
RECORD_BYTES: Final = Histogram("attrikit_gateway_record_bytes", "Size of the records sent", buckets=_BYTES)
RECORD_PIECES: Final = Histogram(
    "attrikit_gateway_record_pieces", "Requests sharing a record", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
PUBLISH_FAILURES: Final = Counter(
    "attrikit_gateway_publish_failures", "Requests not acknowledged, by reason", ("reason",)
)
BROKER_CONNECTIONS: Final = Counter("attrikit_gateway_broker_connections", "Producers opened since the start")
FORWARD_FAILURES: Final = Counter("attrikit_gateway_forward_failures", "Requests the query service did not answer")
