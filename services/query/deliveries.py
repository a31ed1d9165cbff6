"""Deliveries of webhooks: each with the log of its attempts. Pure.

A delivery is the rows of its attempts: what never changes about it stands in each of them, its state is that of the
newest.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from pydantic import Field
from typing_extensions import TypedDict

from schemas.webhooks import EventType, Outcome
from services.query.answers import Meta, NextCursor, Text
from services.query.cursors import Position
from services.query.pages import Page, cut
from services.query.parameters import InPages, InRange, RowId
from services.query.sql import Condition, Statement, Table, equals, newest_first, older_than, one_of, source, statement
from services.query.sql import within as within_range
from services.query.times import TimeRange, time_in_zone

LIST_NAME: Final = "deliveries"
ALL_TIME: Final = TimeRange()
MAX_ATTEMPTS: Final = 50
"""Maximum number of attempts listed of a delivery, the newest."""


class DeliveriesParameters(InRange, InPages):
    """Parameters of deliveries: `from` and `to` are about when the fact was written (`created_at`)."""

    endpoint_id: RowId | None = Field(None, examples=["whe_0f8fad5bd9cb"])
    type: Annotated[tuple[EventType, ...], Field(max_length=10)] = Field(
        (), description="May be repeated: any of them.", examples=[["conversion.created"]]
    )
    status: Annotated[tuple[Outcome, ...], Field(max_length=10)] = Field(
        (), description="May be repeated: any of them.", examples=[["failed"]]
    )


@dataclass(frozen=True)
class DeliveryFilter:
    endpoint_id: str | None = None
    event_types: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    time_range: TimeRange = ALL_TIME


_Attempt = tuple[int, int, str, int, int, str, str, int, bool]
_ATTEMPT: Final = (
    "attempted_at_ms, attempt, outcome, duration_ms, status, error, response_head, next_attempt_ms, is_resent"
)
_NAMES: Final = "delivery_id, endpoint_id, event_type, fact_id, created_at_ms"
"""Columns with the same value in every row of a delivery."""


class DeliveryFact(msgspec.Struct):
    delivery_id: str
    endpoint_id: str
    event_type: str
    fact_id: str
    created_at_ms: int
    sequence_number: int
    attempt_log: list[_Attempt]
    """Log of attempts, oldest first."""
    body: str = ""


def list_deliveries(app_id: str, wanted: DeliveryFilter, page: Page) -> Statement[DeliveryFact]:
    conditions = [
        *equals("endpoint_id", wanted.endpoint_id),
        *one_of("event_type", wanted.event_types),
        *within_range("created_at_ms", wanted.time_range),
        *older_than("created_at_ms", "delivery_id", page.after),
    ]
    # All of what may be on the page is looked at for it, as the table is not in order of time; but not what came of it.
    having, bound = _having(wanted.statuses)
    newest = newest_first("created_at_ms", "delivery_id")
    ids = f"SELECT delivery_id FROM {source(Table.WEBHOOK_ATTEMPTS, conditions)} GROUP BY delivery_id, created_at_ms"
    on_page = Condition(f"delivery_id IN ({ids}{having}{newest})")
    sql = _select([on_page], "") + newest
    return statement(DeliveryFact, app_id, sql, conditions, row_limit=page.row_limit, **bound)


def find_delivery(app_id: str, delivery_id: str) -> Statement[DeliveryFact]:
    conditions = [Condition("delivery_id = {delivery_id:String}", {"delivery_id": delivery_id})]
    return statement(DeliveryFact, app_id, _select(conditions, ", any(payload) AS body"), conditions)


def _select(conditions: list[Condition], more: str) -> str:
    return (
        f"SELECT {_NAMES}, max(sequence) AS sequence_number, "
        f"arraySlice(arraySort(groupArray(tuple({_ATTEMPT}))), -{MAX_ATTEMPTS}) AS attempt_log{more} "
        f"FROM {source(Table.WEBHOOK_ATTEMPTS, conditions)} GROUP BY {_NAMES}"
    )


def _having(statuses: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    if not statuses:
        return "", {}
    newest = "argMax(outcome, tuple(attempted_at_ms, attempt))"
    return f" HAVING {newest} IN {{status_in:Array(String)}}", {"status_in": list(statuses)}


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


def delivery_page(rows: list[DeliveryFact], page: Page, meta: Meta) -> DeliveryList:
    kept, next_cursor = cut(LIST_NAME, rows, page, lambda row: Position(row.created_at_ms, row.delivery_id))
    return {"items": [_delivery(row, meta["timezone"]) for row in kept], "next_cursor": next_cursor, "meta": meta}


def delivery_detail(row: DeliveryFact, meta: Meta) -> DeliveryDetail:
    return {"delivery": _delivery(row, meta["timezone"]), "payload": row.body, "meta": meta}


def _delivery(row: DeliveryFact, zone: str) -> Delivery:
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


EXAMPLE: Final[Delivery] = {
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
EXAMPLE_PAYLOAD: Final = '{"id":"whd_0b9c2f6f5d3e4a1b8c7d6e5f","type":"conversion.created","created_at":"…","data":{…}}'
