"""Outcome of an attempt: what is logged, and whether and when the delivery is retried. Pure."""

from dataclasses import dataclass

import msgspec

from schemas.webhooks import Delivery, Outcome, WebhookAttemptRow, attempt_id
from services.webhook_calls.body import body_of
from services.webhook_calls.sender import Reply
from services.webhooks.retry_schedule import RetrySchedule, deferral_ms, parse_retry_after

GONE = 410


@dataclass(frozen=True)
class AttemptOutcome:
    outcome: Outcome
    row: WebhookAttemptRow | None
    """Row for the log; None: nothing worth a line."""
    again: Delivery | None
    """Delivery to retry at its `due_ms`; None: this delivery is over."""


@dataclass(frozen=True)
class Moment:
    """Time and random number of a decision."""

    now_ms: int
    random_unit: float
    """Random number from [0, 1)."""


def conclude(delivery: Delivery, body: bytes, reply: Reply, at: Moment, schedule: RetrySchedule) -> AttemptOutcome:
    """Conclude an attempt. 2xx is success, 410 ends the delivery; anything else is retried as long as the schedule
    says.
    """
    if reply.is_success:
        return AttemptOutcome(Outcome.DELIVERED, _row(delivery, body, Outcome.DELIVERED, reply, at.now_ms), None)
    asked = parse_retry_after(reply.retry_after, at.now_ms)
    delay_ms = None if reply.status == GONE else schedule.delay_ms(delivery.attempt, at.random_unit, asked)
    if delay_ms is None:
        return AttemptOutcome(Outcome.FAILED, _row(delivery, body, Outcome.FAILED, reply, at.now_ms), None)
    due_ms = at.now_ms + delay_ms
    again = msgspec.structs.replace(delivery, attempt=delivery.attempt + 1, deferrals=0, due_ms=due_ms)
    return AttemptOutcome(Outcome.RETRYING, _row(delivery, body, Outcome.RETRYING, reply, at.now_ms, due_ms), again)


def defer(delivery: Delivery, why: str, now_ms: int, schedule: RetrySchedule, is_working: bool) -> AttemptOutcome:
    """Put a delivery off without an attempt: the endpoint is down or behind. Logged once between two attempts; a
    delivery that is put off for longer than the schedule would ever take has failed.
    """
    reply = Reply(0, why, 0)
    if now_ms - delivery.queued_at_ms > schedule.life_ms:
        return AttemptOutcome(Outcome.FAILED, _row(delivery, body_of(delivery), Outcome.FAILED, reply, now_ms), None)
    due_ms = now_ms + deferral_ms(delivery.deferrals, is_working)
    again = msgspec.structs.replace(delivery, deferrals=delivery.deferrals + 1, due_ms=due_ms)
    if delivery.deferrals:
        return AttemptOutcome(Outcome.DEFERRED, None, again)
    return AttemptOutcome(
        Outcome.DEFERRED, _row(delivery, body_of(delivery), Outcome.DEFERRED, reply, now_ms, due_ms), again
    )


def skip(delivery: Delivery, body: bytes, why: str, now_ms: int) -> AttemptOutcome:
    """Skip a delivery without an attempt: the endpoint is paused or disabled."""
    return AttemptOutcome(Outcome.SKIPPED, _row(delivery, body, Outcome.SKIPPED, Reply(0, why, 0), now_ms), None)


def _row(
    delivery: Delivery, body: bytes, outcome: Outcome, reply: Reply, now_ms: int, next_attempt_ms: int = 0
) -> WebhookAttemptRow:
    attempted_at_ms = now_ms - reply.duration_ms
    return WebhookAttemptRow(
        app_id=delivery.app_id,
        delivery_id=delivery.delivery_id,
        attempt_id=attempt_id(delivery.delivery_id, delivery.attempt, attempted_at_ms),
        endpoint_id=delivery.endpoint_id,
        event_type=delivery.event_type,
        fact_id=delivery.fact_id,
        sequence=delivery.sequence,
        attempt=delivery.attempt,
        outcome=outcome.value,
        attempted_at_ms=attempted_at_ms,
        duration_ms=reply.duration_ms,
        status=reply.status,
        error=reply.error,
        response_head=reply.head,
        next_attempt_ms=next_attempt_ms,
        created_at_ms=delivery.created_at_ms,
        queued_at_ms=delivery.queued_at_ms,
        is_resent=delivery.is_resent,
        payload=body.decode(),
    )
