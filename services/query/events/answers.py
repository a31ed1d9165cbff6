"""Answers about events: shapes and examples. Pure."""

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from schemas.events import TREE, EventField, Tree, shown
from services.query.core.answers import META, JsonObject, Meta, NextCursor, Number, Refunded, Text, ValueIssueText


def _members(tree: Tree) -> dict[str, Any]:
    return {key: _member(key, one) for key, one in tree.items()}


def _member(key: str, one: EventField | Tree) -> Any:
    if not isinstance(one, EventField):
        return TypedDict(key.title(), _members(one))  # type: ignore[operator]
    shown = Text if one.type is str else one.type
    return shown if one.shown.is_sent else Annotated[shown, Field(description=one.shown.description or None)]


if TYPE_CHECKING:
    Event: TypeAlias = dict[str, Any]
else:
    Event = TypedDict(
        "Event",
        {
            "event_id": str,
            "event_name": str,
            "timestamp": Annotated[
                str, Field(description="Event time, corrected for clock skew if `sent_at` was given.")
            ],
            "original_timestamp": Annotated[
                Text, Field(description="As the caller gave it, where correction changed it.")
            ],
            "received_at": str,
            "user_id": Text,
            "anonymous_id": Text,
            "properties": JsonObject,
        }
        | _members(TREE),
    )


class EventList(TypedDict):
    items: list[Event]
    next_cursor: NextCursor
    meta: Meta


class Session(TypedDict):
    session_id: str
    start: str
    end: str
    duration_seconds: Number
    events: int
    page_views: int
    entry_page: Text
    exit_page: Text
    channel: Text
    source: Text
    medium: Text
    campaign: Text
    conversions: int
    values: Annotated[dict[str, Number], Field(description="Conversion value by currency, before refunds.")]
    is_bounce: bool
    is_closed: bool


class Step(TypedDict):
    step: Annotated[str, Field(description="accepted, stored, sessionised, converted, attributed, delivered")]
    is_reached: bool
    at: Annotated[
        Text,
        Field(
            description="accepted: when it was received. Else when the row that says so could be read; a session is "
            "written again with every change. Null: not reached, or not known."
        ),
    ]


class EventConversion(TypedDict):
    conversion_id: str
    goal: str
    value_issue: ValueIssueText
    is_attributed: bool
    converted_at: Annotated[Text, Field(description="When the conversion, as it stands, could be read.")]
    attributed_at: Annotated[Text, Field(description="When its first attribution could be read.")]
    restated_at: Annotated[Text, Field(description="When its newest one could, if that is not the first.")]
    revision: Annotated[int | None, Field(description="Of the newest attribution.")]
    delivered_at: Annotated[Text, Field(description="When a webhook's receiver first acknowledged it.")]


_LATE: Final = (
    "It fell before what was already final for its person (older than the allowed lateness, with later events of "
    "theirs before it): stored, but in no session, no conversion and no credit."
)


class OrderPart(TypedDict):
    conversion_id: str
    goal: str
    converted_at: str
    value: Annotated[Number | None, Field(description="What is left after refunds. Null: not known.")]
    value_issue: ValueIssueText
    refunded: Refunded
    currency: Text


class RefundOutcome(TypedDict):
    order_id: Text
    state: Annotated[
        str,
        Field(
            description="applied: value was taken back of conversions of the order. pending: it is about to be. "
            "waiting: no conversion of the order is known; it is applied when one comes, within the app's history "
            "limit. no_effect: the order is known, and nothing of it can be taken (another currency, no known value, "
            "an amount that cannot be read, all of it later than the refund, or older than the app's history limit). "
            "no_order: the refund names none."
        ),
    ]
    conversions: Annotated[
        list[OrderPart], Field(description="Of the order, as they stand, newest first; at most 100.")
    ]


class EventStatus(TypedDict):
    current: str
    steps: list[Step]
    conversions: list[EventConversion]
    is_late: Annotated[bool, Field(description=_LATE)]
    repeats: Annotated[int, Field(description="How often its id was accepted again, within 7 days; counted once.")]
    refund: Annotated[RefundOutcome | None, Field(description="What became of it. Null: the event is no refund.")]


class EventDetail(TypedDict):
    event: Event
    session: Session | None
    status: EventStatus
    meta: Meta


_SHOWN: Final = {
    "page_url": "https://example.com/checkout",
    "page_title": "结算",
    "locale": "zh-CN",
    "is_bot": False,
    "key_id": "key_0123456789abcdef",
}
_EVENT: Final = {
    "event_id": "evt_01hm5rxqe0x5jw3kq8n4v2t6yz",
    "event_name": "purchase",
    "timestamp": "2024-01-15T18:30:00.000+08:00",
    "original_timestamp": None,
    "received_at": "2024-01-15T18:30:01.000+08:00",
    "user_id": "u_42",
    "anonymous_id": "a_7",
    "properties": {"order_id": "O-1001", "revenue": 199.0, "currency": "CNY"},
} | shown(lambda one: _SHOWN.get(one.name))
EXAMPLE_LIST: Final = {"items": [_EVENT], "next_cursor": None, "meta": META}
_SESSION: Final = {
    "session_id": "ses_0b9c2f6f5d3e4a1b8c7d6e5f",
    "start": "2024-01-15T18:20:00.000+08:00",
    "end": "2024-01-15T18:30:00.000+08:00",
    "duration_seconds": 600,
    "events": 6,
    "page_views": 4,
    "entry_page": "https://example.com/",
    "exit_page": "https://example.com/checkout",
    "channel": "paid_search",
    "source": "baidu",
    "medium": "cpc",
    "campaign": "spring",
    "conversions": 1,
    "values": {"CNY": 199.0},
    "is_bounce": False,
    "is_closed": True,
}
_STEPS: Final = [
    {"step": "accepted", "is_reached": True, "at": "2024-01-15T18:30:01.000+08:00"},
    {"step": "stored", "is_reached": True, "at": "2024-01-15T18:30:01.210+08:00"},
    {"step": "sessionised", "is_reached": True, "at": "2024-01-15T18:30:02.050+08:00"},
    {"step": "converted", "is_reached": True, "at": "2024-01-15T18:30:01.480+08:00"},
    {"step": "attributed", "is_reached": True, "at": "2024-01-15T18:30:01.490+08:00"},
    {"step": "delivered", "is_reached": True, "at": "2024-01-15T18:30:01.730+08:00"},
]
EXAMPLE_DETAIL: Final = {
    "event": _EVENT,
    "session": _SESSION,
    "status": {
        "current": "delivered",
        "steps": _STEPS,
        "conversions": [
            {
                "conversion_id": "cnv_4f6a1c0d9b8e7f2a3c5d6e7f",
                "goal": "purchase",
                "value_issue": None,
                "is_attributed": True,
                "converted_at": "2024-01-15T18:30:01.480+08:00",
                "attributed_at": "2024-01-15T18:30:01.490+08:00",
                "restated_at": None,
                "revision": 1,
                "delivered_at": "2024-01-15T18:30:01.730+08:00",
            }
        ],
        "is_late": False,
        "repeats": 0,
        "refund": None,
    },
    "meta": META,
}
