"""The event as callers send it, decoded leniently: unknown fields are skipped. Pure.

Unknown fields are tolerated so that a producer may send what a later version understands; they are not stored.
What belongs to the event goes into `properties`.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Final, NoReturn

import msgspec
import orjson

from schemas.errors import ErrorCode
from schemas.unreadable import UNREADABLE
from services.gateway.context import IncomingContext
from services.web.errors import ApiError, Text, invalid, missing
from services.web.event_reasons import EMPTY, NOT_JSON, NOT_OBJECT, NOT_TEXT, NOT_TIME, NOT_UTF8, TOO_DEEP, not_json_at

AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]
ABSENT: Final = msgspec.Raw(b"")


class IncomingEvent(msgspec.Struct, gc=False):
    """One event of a request, its types checked and nothing else. JSON `null` stands for an absent field; so does an
    empty text, which `decode_event` leaves out where the field is none of text."""

    event_name: str | None = None
    event_id: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    timestamp: AwareTime | None = None
    sent_at: AwareTime | None = None
    properties: msgspec.Raw = ABSENT
    context: IncomingContext | None = None


class OwnFieldsEvent(IncomingEvent, forbid_unknown_fields=True, gc=False):
    """An event without unknown fields."""


_decode: Final = msgspec.json.Decoder(IncomingEvent).decode
_PATH: Final = re.compile(r"`\$\.([^`]+)`$")
_TIMES: Final = frozenset(("timestamp", "sent_at"))
_OBJECTS: Final = frozenset(("context", "context.page", "context.campaign"))
_EMPTY: Final = b'""'
decode_parts: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""Decode an object into the bytes of each of its fields."""


def decode_event(raw: bytes) -> IncomingEvent:
    """Decode the bytes of one JSON object into its fields; raises `ApiError` naming the first field that is wrong.

    What is skipped is not looked at closely: text that is no UTF-8 matters in a field we keep, and only there.
    """
    try:
        return _decode(raw)
    except UnicodeDecodeError:
        raise invalid("", NOT_UTF8) from None
    except msgspec.ValidationError as error:
        return _decode_without_empty(raw, error)
    except msgspec.DecodeError:
        raise invalid("", syntax_reason(raw)) from None
    except RecursionError:
        raise invalid("", TOO_DEEP) from None


def _decode_without_empty(raw: bytes, error: msgspec.ValidationError) -> IncomingEvent:
    """`raw` without its fields that are empty texts; `error`: why it was refused with them."""
    try:
        return _decode(_without_empty(raw, "context"))
    except msgspec.ValidationError as remaining:
        _raise_for_type(raw, remaining)
    except RecursionError:
        raise invalid("", TOO_DEEP) from None
    except UNREADABLE:
        _raise_for_type(raw, error)


def _without_empty(raw: bytes | msgspec.Raw, *inside: str) -> bytes:
    """The object without the fields that are empty texts, and so the objects named by `inside` and those in them. What
    is left stays as it was, byte for byte."""
    try:
        parts = decode_parts(raw)
    except msgspec.ValidationError:
        return bytes(raw)
    kept = {name: value for name, value in parts.items() if bytes(value) != _EMPTY}
    for name in kept.keys() & set(inside):
        kept[name] = msgspec.Raw(_without_empty(kept[name], "page", "campaign"))
    return msgspec.json.encode(kept)


def _raise_for_type(raw: bytes, error: msgspec.ValidationError) -> NoReturn:
    path = _PATH.search(str(error))
    field = path[1] if path else ""
    if field == "event_name":
        raise ApiError(ErrorCode.INVALID_EVENT_NAME, field=field, value=_value_of(raw, field)) from None
    if field in _TIMES:
        raise invalid(field, NOT_TIME) from None
    raise invalid(field, NOT_OBJECT if not field or field in _OBJECTS else NOT_TEXT) from None


def _value_of(raw: bytes, field: str) -> Any:
    """Return the caller's value if it is a short one."""
    try:
        value = orjson.loads(raw)[field]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return value if isinstance(value, (bool, int, float)) else None


def syntax_reason(raw: bytes) -> Text:
    """Describe what is wrong with bytes that do not decode as JSON, and where."""
    if not raw.strip():
        return EMPTY
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return not_json_at(error.msg, error.lineno, error.colno, error.pos)
    return NOT_JSON


def required(value: str | None, field: str) -> str:
    """Return `value`, or raise if it is absent, null or empty."""
    if not value:
        raise missing(field)
    return value
