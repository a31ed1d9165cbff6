"""Answers about refused events: shapes, an example, and rows as items. Pure."""

from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict

from schemas.facts import RejectedRow
from schemas.rejected_payload import is_cut
from services.query.core.answers import META, Meta, NextCursor, Text
from services.query.core.times import time_in_zone


class RejectedEvent(TypedDict):
    reject_id: str
    rejected_at: Annotated[str, Field(description="When it was received.")]
    stage: Annotated[
        str, Field(description="`gateway`; `stream` or `loader` for what was accepted and could not be processed.")
    ]
    code: str
    field: Annotated[Text, Field(description="Its path, `events[3].user_id` say. Null: the whole of it.")]
    reason: Annotated[str, Field(description="In English.")]
    payload: Annotated[
        str,
        Field(
            description="What came: all of it up to 32 KB; of more, or of bytes that are no UTF-8 (they are replaced), "
            "the first 4 KB. Empty: nothing was kept."
        ),
    ]
    is_cut: Annotated[bool, Field(description="The end of the payload is missing, so it cannot be sent again.")]
    key_id: Text


class RejectedList(TypedDict):
    items: list[RejectedEvent]
    next_cursor: NextCursor
    meta: Meta


EXAMPLE_LIST: Final = {
    "items": [
        {
            "reject_id": "rej_5d3e4a1b8c7d6e5f0b9c2f6f",
            "rejected_at": "2024-01-15T18:30:01.000+08:00",
            "stage": "gateway",
            "code": "INVALID_EVENT_NAME",
            "field": "events[3].event_name",
            "reason": "The event name is invalid; use snake_case",
            "payload": '{"event_name":"Sign Up","user_id":"u_42"}',
            "is_cut": False,
            "key_id": "key_0123456789abcdef",
        }
    ],
    "next_cursor": None,
    "meta": META,
}


def rejected_event_of(row: RejectedRow, zone: str) -> RejectedEvent:
    return {
        "reject_id": row.reject_id,
        "rejected_at": time_in_zone(row.rejected_at_ms, zone),
        "stage": row.stage,
        "code": row.code,
        "field": row.field or None,
        "reason": row.reason,
        "payload": row.payload,
        "is_cut": is_cut(row.payload),
        "key_id": row.key_id or None,
    }
