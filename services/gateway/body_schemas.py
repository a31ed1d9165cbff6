"""JSON schemas of the bodies that endpoints of events take: they describe the API, they do not check requests.

Answers follow from the structs that are sent. Requests are written here, for the API takes less than their structs
(`services.gateway.event_fields`) can hold; checking is `services.gateway.validate`.
"""

import re
from functools import cache, reduce
from operator import or_
from typing import Any, Final

import msgspec

from schemas.events import (
    EVENT_ID_PATTERN,
    EVENT_NAME_PATTERN,
    MAX_BATCH_EVENTS,
    MAX_ID_CHARACTERS,
    TREE,
    EventField,
    Tree,
)
from services.gateway.answers import BatchResult, Tracked, Validation
from services.gateway.validate import PLACEHOLDERS
from services.gateway.visitors import VISITOR_ID_PATTERN, VisitorAnswer
from services.web.openapi import REF, Document, envelope, schemas_of

_PLACEHOLDER: Final = "|".join(sorted(re.escape(word).replace("\\ ", " ") for word in PLACEHOLDERS if word))
_EMPTY: Final = {"const": ""}
"""An empty text counts as absent, in every field but `event_name`."""


def _or_null(schema: Document, *others: Document, **more: Any) -> Document:
    return {"anyOf": [schema, {"type": "null"}, *others]} | more


def _text(pattern: str) -> Document:
    return {"type": "string", "pattern": pattern}


_ANY_TEXT: Final = _text(r"^[^\u0000]*$")
_TIME: Final = {"type": "string", "format": "date-time"}
_PERSON_ID: Final = _text(r"^[^\u0000-\u001f\u007f]*$") | {
    "maxLength": MAX_ID_CHARACTERS,
    "not": {"pattern": rf"^\s*({_PLACEHOLDER})\s*$|^\s+$"},
}
_EVENT_ID: Final = _text(EVENT_ID_PATTERN.pattern.replace(r"{1,", "{0,").replace(r"\Z", "$"))
_VISITOR_ID: Final = _text(VISITOR_ID_PATTERN) | {"not": {"pattern": rf"^({_PLACEHOLDER})$"}}


def _object(name: str, properties: Document, description: str = "", **more: Any) -> Document:
    said = {"description": description} if description else {}
    return {name: {"title": name, "type": "object", "properties": properties} | said | more}


_EVENT: Final = _object(
    "Event",
    {
        "event_name": _text(EVENT_NAME_PATTERN.pattern.replace(r"\Z", "$"))
        | {"description": "`snake_case`, verb_noun by preference."},
        "properties": _or_null(
            {"type": "object", "additionalProperties": True},
            _EMPTY,
            description="Any JSON object, nested at most 8 levels deep (itself the first), without NUL characters in "
            "names and texts. Integers have at most 64 bits: longer ones are texts.",
        ),
        "timestamp": _or_null(
            _TIME,
            _EMPTY,
            description="RFC 3339 with a zone; the time of receipt if absent. At most 24 hours in the future.",
        ),
        "sent_at": _or_null(
            _TIME,
            _EMPTY,
            description="The sender's clock when it sent this; `timestamp` is then corrected by received_at - sent_at.",
        ),
        "user_id": _or_null(
            _PERSON_ID,
            description="Placeholders such as `null`, in whatever case, are refused: they would make strangers one.",
        ),
        "anonymous_id": _or_null(_PERSON_ID, description="Of a device or browser. Placeholders are refused."),
        "event_id": _or_null(
            _EVENT_ID,
            description="Your idempotency key: a repeat within 7 days is counted once. We mint one if it is absent.",
        ),
        "context": _or_null({"$ref": REF + "Context"}, _EMPTY),
    },
    "One event, at most 32 KB. Fields not named here are ignored and not stored: use `properties`. A field that is "
    "null or an empty text is as good as absent.",
    required=["event_name"],
    examples=[
        {
            "event_name": "page_view",
            "properties": {"page_title": "首页", "page_url": "https://example.com"},
            "user_id": "user-42",
        }
    ],
)
_BATCH: Final = _object(
    "Batch",
    {
        "events": {
            "type": "array",
            "items": {"$ref": REF + "Event"},
            "minItems": 1,
            "maxItems": MAX_BATCH_EVENTS,
        }
    },
    "At most 1,000 events and 5 MB.",
    required=["events"],
)
_VISITOR: Final = _object(
    "Visitor",
    {
        "visitor_id": {
            "anyOf": [_VISITOR_ID, _EMPTY, {"type": "null"}],
            "description": "Kept where there is no cookie. Placeholders are refused.",
        }
    },
    "The visitor, if the page knows them. An empty body will do; at most 32 KB.",
)


def _declared(name: str, tree: Tree, description: str = "") -> Document:
    """Return the schemas of an object of declared fields and of the objects in it."""
    members = {key: _member(key, one) for key, one in tree.items()}
    inner = [_declared(key.title(), one) for key, one in tree.items() if not isinstance(one, EventField)]
    return reduce(or_, inner, _object(name, members, description))


def _member(key: str, one: EventField | Tree) -> Document:
    if not isinstance(one, EventField):
        return _or_null({"$ref": REF + key.title()}, _EMPTY)
    said = {"description": one.shown.description} if one.shown.description else {}
    return _or_null(dict(one.shown.schema) or _ANY_TEXT, **said)


_EXAMPLE_EVENT: Final[Document] = {
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
    "goals": [{"goal": "purchase", "goal_type": "macro", "value": 199.0, "currency": "CNY"}],
    "may_be_late": False,
}
_ANSWERS: Final[dict[str, tuple[type[msgspec.Struct], Document | None]]] = {
    "TrackResponse": (Tracked, {"event_id": "evt_1234567890", "received_at": "2024-01-15T10:30:01Z"}),
    "BatchResponse": (BatchResult, None),
    "ValidationResponse": (Validation, {"valid": True, "errors": [], "normalized": [_EXAMPLE_EVENT]}),
    "VisitorResponse": (VisitorAnswer, {"visitor_id": "vis_01hm5rxqe0x5jw3kq8n4v2t6yz", "is_cookie_set": True}),
}
"""Name of the envelope: (its data, an example of them)."""


@cache
def body_schemas() -> Document:
    """Return the schemas of all bodies by name."""
    requests = _EVENT | _declared("Context", TREE["context"], "Circumstances of the event: page, client, campaign.")
    envelopes = {name: _answer(name, data, example) for name, (data, example) in _ANSWERS.items()}
    return requests | _BATCH | _VISITOR | schemas_of(*(data for data, _ in _ANSWERS.values())) | envelopes


def _answer(name: str, data: type[msgspec.Struct], example: Document | None) -> Document:
    examples = {"examples": [{"success": True, "data": example}]} if example else {}
    return envelope(True, "data", {"$ref": REF + data.__name__}, title=name, **examples)
