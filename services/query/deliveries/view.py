"""Rows of webhook deliveries as answers. Pure."""

from schemas.webhooks import EventType, Outcome
from services.query.core.answers import Meta
from services.query.core.times import time_in_zone
from services.query.deliveries.answers import Attempt, Delivery, DeliveryDetail
from services.query.deliveries.statements import DeliveryFact


def delivery_detail(row: DeliveryFact, meta: Meta) -> DeliveryDetail:
    return {"delivery": delivery_of(row, meta["timezone"]), "payload": row.body, "meta": meta}


def delivery_of(row: DeliveryFact, zone: str) -> Delivery:
    attempts = [_attempt(zone, *attempt) for attempt in row.attempt_log]
    return {
        "delivery_id": row.delivery_id,
        "endpoint_id": row.endpoint_id,
        "type": EventType(row.event_type),
        "fact_id": row.fact_id,
        "created_at": time_in_zone(row.created_at_ms, zone),
        "sequence": row.sequence_number,
        "status": attempts[-1]["status"],
        "next_attempt_at": attempts[-1]["next_attempt_at"],
        "attempts": attempts,
    }


def _attempt(
    zone: str,
    at_ms: int,
    attempt: int,
    outcome: str,
    duration_ms: int,
    status: int,
    error: str,
    head: str,
    next_ms: int,
    is_resent: bool,
) -> Attempt:
    return {
        "attempted_at": time_in_zone(at_ms, zone),
        "attempt": attempt,
        "status": Outcome(outcome),
        "duration_ms": duration_ms,
        "http_status": status or None,
        "error": error or None,
        "response": head or None,
        "next_attempt_at": time_in_zone(next_ms or None, zone),
        "is_resent": is_resent,
    }
