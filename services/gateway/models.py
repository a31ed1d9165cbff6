"""The bodies of the reporting endpoints as pydantic models: they describe the API, they do not check requests.

Checking is `services.gateway.validate`; a unit test keeps the two the same.
"""

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from schemas.errors import WarningCode
from schemas.events import (
    EVENT_ID_PATTERN,
    EVENT_NAME_PATTERN,
    MAX_BATCH_EVENTS,
    MAX_ID_CHARACTERS,
    TREE,
    EventField,
    Tree,
)
from schemas.facts import TouchType
from services.gateway.answers import FLAT_FIELDS
from services.gateway.validate import PLACEHOLDERS
from services.gateway.visitors import VISITOR_ID_PATTERN
from services.gateway.warnings import MAX_WARNINGS
from services.web.openapi import Error, ErrorResponse

__all__ = ["Batch", "BatchResponse", "ErrorResponse", "Event", "TrackResponse", "ValidationResponse"]

_EVENT_NAME: Final = EVENT_NAME_PATTERN.pattern.replace(r"\Z", "$")
_EVENT_ID: Final = EVENT_ID_PATTERN.pattern.replace(r"{1,", "{0,").replace(r"\Z", "$")
_PLACEHOLDER: Final = "|".join(sorted(re.escape(word).replace("\\ ", " ") for word in PLACEHOLDERS if word))
NO_NUL: Final = r"^[^\u0000]*$"

PersonId = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": MAX_ID_CHARACTERS,
            "pattern": r"^[^\u0000-\u001f\u007f]*$",
            "not": {"pattern": rf"^\s*({_PLACEHOLDER})\s*$|^\s+$"},
        }
    ),
]


EMPTY: Final[dict[str, Any]] = {"const": ""}
"""Values that count as absent, in every field but `event_name`."""


def _or_empty(schema: dict[str, Any]) -> None:
    schema["anyOf"].append(EMPTY)


def _object(name: str, tree: Tree, words: str | None = None) -> type[BaseModel]:
    members: dict[str, Any] = {key: _member(key, one) for key, one in tree.items()}
    return create_model(name, __doc__=words, **members)


def _member(key: str, one: EventField | Tree) -> tuple[Any, Any]:
    if not isinstance(one, EventField):
        return _object(key.title(), one) | None, Field(None, json_schema_extra=_or_empty)
    schema = one.shown.schema
    text = Annotated[str, WithJsonSchema(dict(schema))] if schema else Annotated[str, Field(pattern=NO_NUL)]
    return text | None, Field(None, description=one.shown.description or None)


if TYPE_CHECKING:
    Context: TypeAlias = BaseModel
else:
    Context = _object("Context", TREE["context"], "Circumstances of the event: page, client, campaign.")


class Event(BaseModel):
    """One event, at most 32 KB. Fields not named here are ignored and not stored: use `properties`. A field that is
    null or an empty text is as good as absent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "event_name": "page_view",
                    "properties": {"page_title": "首页", "page_url": "https://example.com"},
                    "user_id": "user-42",
                }
            ]
        }
    )

    event_name: str = Field(pattern=_EVENT_NAME, description="`snake_case`, verb_noun by preference.")
    properties: dict[str, Any] | None = Field(
        None,
        json_schema_extra=_or_empty,
        description="Any JSON object, nested at most 8 levels deep (itself the first), without NUL characters in names "
        "and texts. Integers have at most 64 bits: longer ones are texts.",
    )
    timestamp: AwareDatetime | None = Field(
        None,
        json_schema_extra=_or_empty,
        description="RFC 3339 with a zone; the time of receipt if absent. At most 24 hours in the future.",
    )
    sent_at: AwareDatetime | None = Field(
        None,
        json_schema_extra=_or_empty,
        description="The sender's clock when it sent this; `timestamp` is then corrected by received_at - sent_at.",
    )
    user_id: PersonId | None = Field(
        None, description="Placeholders such as `null`, in whatever case, are refused: they would make strangers one."
    )
    anonymous_id: PersonId | None = Field(None, description="Of a device or browser. Placeholders are refused.")
    event_id: str | None = Field(
        None,
        pattern=_EVENT_ID,
        description="Your idempotency key: a repeat within 7 days is counted once. We mint one if it is absent.",
    )
    context: Context | None = Field(None, json_schema_extra=_or_empty)


class Batch(BaseModel):
    """At most 1,000 events and 5 MB."""

    events: list[Event] = Field(min_length=1, max_length=MAX_BATCH_EVENTS)


class TrackWarning(BaseModel):
    """A warning about an event that is accepted all the same."""

    code: WarningCode
    field: str = Field(description="A path in the event.")
    message: str = Field(description="For people, in the language of `Accept-Language`.")
    suggestion: str = Field("", description="The name that may have been meant; absent where that is not known.")


class EventWarning(TrackWarning):
    index: int = Field(description="Of the event in the batch.")


_WARNINGS: Final = "Absent if there are none. A warning refuses nothing."
_MORE: Final = f"How many there are beside the {MAX_WARNINGS} that are listed; absent if there are none."


class Tracked(BaseModel):
    event_id: str
    received_at: AwareDatetime
    warnings: list[TrackWarning] = Field([], description=_WARNINGS)


class TrackResponse(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"success": True, "data": {"event_id": "evt_1234567890", "received_at": "2024-01-15T10:30:01Z"}}
            ]
        }
    )

    success: Literal[True]
    data: Tracked


class EventResult(BaseModel):
    index: int
    event_id: str | None
    status: Literal["accepted", "duplicate", "rejected"]
    error: Error | None = Field(None, description="Present on rejected events.")


class BatchResult(BaseModel):
    accepted: int
    rejected: int
    results: list[EventResult]
    warnings: list[EventWarning] = Field([], description=_WARNINGS)
    more_warnings: int = Field(0, description=_MORE)
    is_kept: bool = Field(
        True,
        description="False if the refused events could not be written down: `GET /v1/events/rejected` does not list "
        "them, and they cannot be replayed. Absent otherwise.",
    )


class BatchResponse(BaseModel):
    success: Literal[True]
    data: BatchResult


class Visitor(BaseModel):
    """The visitor, if the page knows them. An empty body will do; at most 32 KB."""

    visitor_id: Annotated[
        str | None,
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "pattern": VISITOR_ID_PATTERN, "not": {"pattern": rf"^({_PLACEHOLDER})$"}},
                    EMPTY,
                    {"type": "null"},
                ],
                "title": "Visitor Id",
            }
        ),
    ] = Field(None, description="Kept where there is no cookie. Placeholders are refused.")


class VisitorAnswer(BaseModel):
    visitor_id: str = Field(description="The cookie's id, else yours, else a new one: send it as `anonymous_id`.")
    is_cookie_set: bool = Field(description="False: the gateway is not of the page's site, and the page keeps the id.")
    reason: str = Field("", description="Why no cookie was set; absent where one was.")


class VisitorResponse(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"success": True, "data": {"visitor_id": "vis_01hm5rxqe0x5jw3kq8n4v2t6yz", "is_cookie_set": True}}
            ]
        }
    )

    success: Literal[True]
    data: VisitorAnswer


class EventError(Error):
    index: int


class MetGoal(BaseModel):
    goal: str
    goal_type: Literal["macro", "micro"]
    value: Annotated[
        Annotated[float, Field(ge=0)] | None,
        Field(description="In whole units of `currency`. Null: an amount or currency is given that cannot be read."),
    ]
    currency: str | None
    value_issue: Literal["unreadable_currency", "unreadable_value", "negative_value"] | None = Field(
        None, description="Why the value is not known."
    )


class _Normalized(BaseModel):
    """The event as it would be stored, and the result if a visit began with it: after others of its person's it may
    also be a repeat, fall into a visit that has its channel already, or be late (see `may_be_late`).
    """

    index: int
    event_id: str | None = Field(description="Null where the event has none: one is minted when it is stored.")
    event_name: str
    timestamp: AwareDatetime
    original_timestamp: AwareDatetime | None
    user_id: str | None
    anonymous_id: str | None
    properties: dict[str, Any]
    campaign: dict[str, str]
    channel: str | None = Field(description="Of the visit it would begin; null for an event without a person.")
    channel_rule: str | None = Field(
        description="Which rule decided the channel: `click_id:gclid`, `tags:medium`, `referrer:search_engine`, "
        "`app:<name>` of the app's own rules. Null for an event without a person."
    )
    touch_type: TouchType | None = Field(
        description="The touch it would be: `click`, `impression` and `view` wherever in a visit it stands, `visit` as "
        "the first of one. Null for an event without a person."
    )
    goals: list[MetGoal] = Field(description="What it would count for; none for an event without a person.")
    may_be_late: bool = Field(
        description="Its time is before the present less the app's allowed lateness. It counts as imported history, "
        "unless its person has been active since and that is final: then it is stored, in no session and no credit."
    )


if TYPE_CHECKING:
    NormalizedEvent: TypeAlias = _Normalized
else:
    NormalizedEvent = create_model(
        "NormalizedEvent",
        __base__=_Normalized,
        __doc__=_Normalized.__doc__,
        **{one.name: (one.type, ...) for one in FLAT_FIELDS},
    )


class Validation(BaseModel):
    valid: bool
    errors: list[EventError]
    normalized: list[NormalizedEvent]
    warnings: list[EventWarning] = Field([], description=_WARNINGS)
    more_warnings: int = Field(0, description=_MORE)


class ValidationResponse(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": True,
                    "data": {
                        "valid": True,
                        "errors": [],
                        "normalized": [
                            {
                                "index": 0,
                                "event_id": "order-1001",
                                "event_name": "purchase",
                                "timestamp": "2024-01-15T10:30:00.000Z",
                                "original_timestamp": None,
                                "user_id": "user-42",
                                "anonymous_id": None,
                                "properties": {"order_id": "O-1001", "revenue": 199.0},
                                "page_url": "https://example.com/thanks?utm_source=baidu&utm_medium=cpc",
                                "page_title": "",
                                "referrer": "",
                                "campaign": {},
                                "ip": "203.0.113.9",
                                "user_agent": "",
                                "locale": "",
                                "is_bot": False,
                                "key_id": "key_1a2b3c4d",
                                "channel": "paid_search",
                                "channel_rule": "tags:medium_and_source",
                                "touch_type": "click",
                                "goals": [
                                    {"goal": "purchase", "goal_type": "macro", "value": 199.0, "currency": "CNY"}
                                ],
                                "may_be_late": False,
                            }
                        ],
                    },
                }
            ]
        }
    )

    success: Literal[True]
    data: Validation
