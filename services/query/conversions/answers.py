"""Answers about conversions: shapes, an example, and rows as items. Pure."""

from typing import Annotated, Any, Final

from pydantic import Field
from typing_extensions import TypedDict

from schemas.amounts import shown_value
from services.query.conversions.statements import EMPTY_PATH_CHANNEL, ConversionFact
from services.query.core.answers import META, Meta, NextCursor, Number, Refunded, Text, ValueIssueText
from services.query.core.numbers import money
from services.query.core.times import time_in_zone


class Conversion(TypedDict):
    conversion_id: str
    goal: str
    goal_type: str
    goal_version: Annotated[int, Field(description="The version of the goal it was counted under.")]
    event_id: str
    converted_at: str
    user_id: Text
    anonymous_id: Text
    session_id: Text
    order_id: Text
    value: Annotated[
        Number | None, Field(description="What is left after refunds. Null: not known, see `value_issue`.")
    ]
    value_issue: ValueIssueText
    refunded: Refunded
    currency: Text
    path_length: Annotated[int, Field(description="Touches inside their windows.")]
    first_channel: str
    last_channel: str
    is_bot: Annotated[bool, Field(description="Its event is a bot's.")]


class ConversionList(TypedDict):
    items: list[Conversion]
    next_cursor: NextCursor
    meta: Meta


EXAMPLE_LIST: Final[dict[str, Any]] = {
    "items": [
        {
            "conversion_id": "cnv_4f6a1c0d9b8e7f2a3c5d6e7f",
            "goal": "purchase",
            "goal_type": "macro",
            "goal_version": 1,
            "event_id": "evt_01hm5rxqe0x5jw3kq8n4v2t6yz",
            "converted_at": "2024-01-15T18:30:00.000+08:00",
            "user_id": "u_42",
            "anonymous_id": "a_7",
            "session_id": "ses_0b9c2f6f5d3e4a1b8c7d6e5f",
            "order_id": "O-1001",
            "value": 199.0,
            "value_issue": None,
            "refunded": 0.0,
            "currency": "CNY",
            "path_length": 3,
            "first_channel": "paid_search",
            "last_channel": "direct",
            "is_bot": False,
        }
    ],
    "next_cursor": None,
    "meta": META,
}


def conversion_of(row: ConversionFact, zone: str) -> Conversion:
    channels = row.path_channels or [EMPTY_PATH_CHANNEL]
    value, currency = shown_value(row.value_minor - row.refunded_minor, row.currency, row.value_issue)
    return {
        "conversion_id": row.conversion_id,
        "goal": row.goal,
        "goal_type": row.goal_type,
        "goal_version": row.goal_version,
        "event_id": row.event_id,
        "converted_at": time_in_zone(row.converted_at_ms, zone),
        "user_id": row.user_id or None,
        "anonymous_id": row.anonymous_id or None,
        "session_id": row.session_id or None,
        "order_id": row.order_id or None,
        "value": value,
        "value_issue": row.value_issue or None,
        "refunded": money(row.refunded_minor, row.currency),
        "currency": currency,
        "path_length": len(row.path_channels),
        "first_channel": channels[0],
        "last_channel": channels[-1],
        "is_bot": row.is_bot,
    }
