"""Prometheus metrics of the dispatcher."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

FACTS: Final = Counter(
    "attrikit_webhook_facts", "Facts read while some app has an endpoint, by event type", ["event_type"]
)
UNREADABLE: Final = Counter("attrikit_webhook_unreadable", "Records that could not be read, by topic", ["topic"])
QUEUED: Final = Counter("attrikit_webhook_deliveries_queued", "Deliveries written to Kafka, one per fact and endpoint")
ATTEMPTS: Final = Counter("attrikit_webhook_attempts", "Attempts, and decisions against one, by outcome", ["outcome"])
ATTEMPT_SECONDS: Final = Histogram("attrikit_webhook_attempt_seconds", "From the call's beginning to the answer's end")
DELAY_SECONDS: Final = Histogram(
    "attrikit_webhook_delay_seconds",
    "From the fact's record in Kafka to the receiver's 2xx, of deliveries accepted at the first attempt",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
IN_MEMORY: Final = Gauge("attrikit_webhook_deliveries_in_memory", "Deliveries in an endpoint queue or being sent")
IN_MEMORY_BYTES: Final = Gauge("attrikit_webhook_bytes_in_memory", "Bytes of the deliveries waiting in memory")
MOVED: Final = Counter(
    "attrikit_webhook_waiting_moved", "Deliveries that left the delay queue when their time came", ["to"]
)
OPEN_CIRCUITS: Final = Gauge(
    "attrikit_webhook_open_circuits", "Endpoints with an open circuit breaker: tried only now and then"
)
DISABLED: Final = Counter("attrikit_webhook_endpoints_disabled", "Endpoints disabled, by reason", ["reason"])
LAG: Final = Gauge("attrikit_webhook_lag", "Records not yet done with, by topic and partition", ["topic", "partition"])
