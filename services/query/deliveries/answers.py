"""Answers about webhook deliveries: shapes, examples, and rows as items. Pure."""

from typing import Annotated, Any, Final

from pydantic import Field
from typing_extensions import TypedDict

from schemas.webhooks import EventType, Outcome
from services.query.core.answers import META, Meta, NextCursor, Text
from services.query.core.times import time_in_zone
from services.query.deliveries.statements import MAX_ATTEMPTS, DeliveryFact


class Attempt(TypedDict):
    attempted_at: str
    attempt: Annotated[int, Field(description="From 1; of a deferral, that of the attempt it stands before.")]
    status: Annotated[Outcome, Field(description="The delivery's state after it.")]
    duration_ms: int
    http_status: Annotated[int | None, Field(description="Null: there was no answer.")]
    error: Annotated[Text, Field(description="Why it did not succeed.")]
    response: Annotated[Text, Field(description="The beginning of the answer's body.")]
    next_attempt_at: Text
    is_resent: Annotated[bool, Field(description="Whether it followed a resend.")]


class Delivery(TypedDict):
    delivery_id: Annotated[str, Field(description="What the receiver saw as `webhook-id` and as `id` in the body.")]
    endpoint_id: str
    type: EventType
    fact_id: Annotated[str, Field(description="Of the conversion or alert it tells of.")]
    created_at: str
    sequence: int
    status: Outcome
    next_attempt_at: Text
    attempts: Annotated[list[Attempt], Field(description=f"Oldest first; the newest {MAX_ATTEMPTS}.")]


class DeliveryList(TypedDict):
    items: list[Delivery]
    next_cursor: NextCursor
    meta: Meta


class DeliveryDetail(TypedDict):
    delivery: Delivery
    payload: Annotated[str, Field(description="The body as it was signed and sent, byte for byte.")]
    meta: Meta


_DELIVERY: Final[Delivery] = {
    "delivery_id": "whd_0b9c2f6f5d3e4a1b8c7d6e5f",
    "endpoint_id": "whe_0f8fad5bd9cb",
    "type": EventType.CONVERSION_CREATED,
    "fact_id": "cnv_0b9c2f6f5d3e4a1b8c7d6e5f",
    "created_at": "2024-01-15T18:30:01.000+08:00",
    "sequence": 42,
    "status": Outcome.RETRYING,
    "next_attempt_at": "2024-01-15T18:30:06.412+08:00",
    "attempts": [
        {
            "attempted_at": "2024-01-15T18:30:01.100+08:00",
            "attempt": 1,
            "status": Outcome.RETRYING,
            "duration_ms": 131,
            "http_status": 500,
            "error": "HTTP 500",
            "response": "Internal Server Error",
            "next_attempt_at": "2024-01-15T18:30:06.412+08:00",
            "is_resent": False,
        }
    ],
}
_PAYLOAD: Final = '{"id":"whd_0b9c2f6f5d3e4a1b8c7d6e5f","type":"conversion.created","created_at":"…","data":{…}}'
EXAMPLE_LIST: Final[Any] = {"items": [_DELIVERY], "next_cursor": None, "meta": META}
EXAMPLE_DETAIL: Final[Any] = {"delivery": _DELIVERY, "payload": _PAYLOAD, "meta": META}


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
