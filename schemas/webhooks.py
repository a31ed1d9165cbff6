"""Messages of the webhooks: the deliveries in Kafka, and the log of their attempts.

A *fact* (a conversion, a revision of its credits, an alert) becomes one *delivery* for each endpoint that wants it. Its
id is a function of endpoint and fact, so a restart anywhere repeats the same id, and it is what the receiver sees as
`webhook-id` and as `id` in the body, at every attempt.
"""

from enum import StrEnum
from typing import Final
from zlib import crc32

import msgspec

from schemas.ids import digest


class EventType(StrEnum):
    """Event types that a receiver can subscribe to."""

    CONVERSION_CREATED = "conversion.created"
    ATTRIBUTION_COMPLETED = "attribution.completed"
    THRESHOLD_ALERT = "threshold.alert"


TEST_TYPE: Final = "webhook.test"
"""Type of the message `attrikit webhooks test` sends."""


class EndpointState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    """Paused by a person, who resumes it."""
    DISABLED = "disabled"
    """Disabled by us: it answered 410, or nothing but failures for days."""


class Outcome(StrEnum):
    """Outcome of an attempt, and so the delivery's state after it."""

    DELIVERED = "delivered"
    """2xx."""
    RETRYING = "retrying"
    """It failed, and the next attempt has its time."""
    DEFERRED = "deferred"
    """Not tried: the endpoint is down or behind. It does not count as an attempt."""
    FAILED = "failed"
    """It failed for the last time: dead-lettered, to be sent again by `resend` or `replay`."""
    SKIPPED = "skipped"
    """Not tried: the endpoint is paused or disabled. To be sent again like a failed one."""


class Delivery(msgspec.Struct, gc=False, omit_defaults=True):
    """One message to one endpoint, as it stands in `webhook-deliveries` (due) and `webhook-retries` (waiting)."""

    delivery_id: str
    endpoint_id: str
    app_id: str
    event_type: str
    fact_id: str
    order_key: str
    """Deliveries of one endpoint and key (a person) go out one after another."""
    created_at_ms: int
    """Time when the fact's record was written to Kafka: the same however often it is read."""
    data: msgspec.Raw
    """`data` of the body, a JSON object."""
    queued_at_ms: int
    """Time when it was first queued, or queued again by a resend: its life is counted from here."""
    sequence: int = 0
    """Counts the endpoint's deliveries from 1; 0: not numbered yet."""
    attempt: int = 1
    """The number the next attempt will have."""
    deferrals: int = 0
    """Number of times it has been put off without an attempt since the last one."""
    due_ms: int = 0
    """No attempt before it."""
    wait_until_ms: int = 0
    """Time when this record in `webhook-retries` is looked at again."""
    is_resent: bool = False
    source: str = ""
    """The partition of facts it was made from, `c3` say: with the two below, what tells a repeat of it."""
    source_offset: int = 0
    source_row: int = 0
    traceparent: str = ""
    """Step of a trace that it follows from; empty: none."""


class WebhookAttemptRow(msgspec.Struct, gc=False):
    """One attempt, or the decision against one. The newest row of a delivery tells its state."""

    app_id: str
    delivery_id: str
    attempt_id: str
    endpoint_id: str
    event_type: str
    fact_id: str
    sequence: int
    attempt: int
    """Number of the attempt, from 1; of a deferral, that of the attempt it stands before."""
    outcome: str
    """An `Outcome`."""
    attempted_at_ms: int
    duration_ms: int
    status: int
    """Status of the response; 0: there was none."""
    error: str
    """Reason why it did not succeed; empty: it did."""
    response_head: str
    """The beginning of the response's body."""
    next_attempt_ms: int
    """0: there is none."""
    created_at_ms: int
    queued_at_ms: int
    is_resent: bool
    payload: str
    """The body as it is signed and sent."""


def delivery_id(endpoint_id: str, event_type: str, fact_id: str, revision: int) -> str:
    return "whd_" + digest(endpoint_id, event_type, fact_id, str(revision))


def attempt_id(delivery: str, attempt: int, attempted_at_ms: int) -> str:
    """An attempt repeated after a crash is another one, and has another id."""
    return "wha_" + digest(delivery, str(attempt), str(attempted_at_ms))


def partition_of_endpoint(endpoint_id: str, partitions: int) -> int:
    """All deliveries of an endpoint go through one partition, so one process knows its order, its pace, its health."""
    return crc32(endpoint_id.encode()) % partitions


RETRY_DELAYS_MS: Final[tuple[int, ...]] = tuple(1_000 * 4**level for level in range(8))
"""1 s to 4.6 h. `webhook-retries` has one partition for each (see `services.webhooks.delay_queue`)."""

encode_delivery = msgspec.json.Encoder().encode
decode_deliveries = msgspec.json.Decoder(Delivery).decode_lines
