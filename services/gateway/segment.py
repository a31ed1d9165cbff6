"""Segment's messages as events of ours. Pure.

    track            its `event`, in snake_case
    page, screen     `page_view`, `screen_view`
    identify, group  `identify` and `group`, with the traits as properties
    alias            `alias`: `previousId` becomes the anonymous id, which the stream merges into the user's

Nothing is left out. What has no field of ours stands in `properties.segment`, under Segment's own names: `type`, the
`event` before it was put into snake_case, the rest of `context`, `integrations`, and whatever else a message brings.
Only the write key and values that hold nothing (null, `""`, `{}`, `[]`) are not kept.

Source: segment.com/docs/connections/spec and …/sources/catalog/libraries/server/http-api.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

import msgspec

from schemas.event_names import suggest_name
from schemas.events import EVENT_ID_PATTERN, MAX_BATCH_EVENTS, MAX_PROPERTY_DEPTH, TREE, EventField
from schemas.ids import digest
from schemas.unreadable import UNREADABLE
from services.gateway.body_split import BODY
from services.gateway.errors import too_large
from services.gateway.event_borders import scan_batch
from services.gateway.event_fields import AwareTime, decode_parts, syntax_reason
from services.gateway.event_names import is_event_name
from services.web.errors import invalid, missing
from services.web.event_reasons import COMMON_TOO_LARGE, NOT_LIST, NOT_OBJECT, TOO_DEEP, TOO_MANY_EVENTS

BATCH: Final = "batch"
MAX_SEGMENT_BATCH_BYTES: Final = 500 * 1024
KINDS: Final = ("track", "page", "screen", "identify", "alias", "group")
_NAMES: Final = {
    "page": "page_view",
    "screen": "screen_view",
    "identify": "identify",
    "alias": "alias",
    "group": "group",
}
"""Kind of a message → name of the event; a `track` brings its own."""
_CONTEXT: Final = TREE["context"]
_HAS_TRAITS: Final = frozenset({"identify", "group"})
_KEEPS: Final = "segment"
"""Property for what has no field of ours."""
_NOTHING: Final[tuple[Any, ...]] = (None, "", {}, [])
_MIN_INT64: Final = -(1 << 63)
_MAX_UINT64: Final = (1 << 64) - 1

Message = dict[str, Any]

_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode


def pieces_of(body: bytes, kind: str) -> list[bytes]:
    """Return our events for the body of a request, in order; what is no message stays as it is, to be refused.

    `kind`: `BATCH`, or that of the one message. Raises `ApiError` for a batch that cannot be split.
    """
    if kind != BATCH:
        return [_event_of(body, {"type": kind})]
    pieces, parts = _split(body)
    common = _common(parts)
    if not pieces:
        raise missing(BATCH)
    if len(pieces) > MAX_BATCH_EVENTS:
        raise too_large(BATCH, TOO_MANY_EVENTS, limit=MAX_BATCH_EVENTS, actual=len(pieces))
    size_bytes = len(_encode(common)) * len(pieces)
    if size_bytes > MAX_SEGMENT_BATCH_BYTES:
        raise too_large(BODY, COMMON_TOO_LARGE, limit=MAX_SEGMENT_BATCH_BYTES, actual=size_bytes)
    return [_event_of(bytes(piece), {}, common) for piece in pieces]


def _split(body: bytes) -> tuple[Sequence[bytes | msgspec.Raw], Mapping[str, msgspec.Raw]]:
    """Return the messages of a batch, and its fields."""
    try:
        parts = decode_parts(body)
    except msgspec.ValidationError:
        raise invalid(BODY, NOT_OBJECT) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _scanned(body)
    except RecursionError:
        raise invalid(BODY, TOO_DEEP) from None
    return _messages(parts), parts


def _scanned(body: bytes) -> tuple[Sequence[bytes], Mapping[str, msgspec.Raw]]:
    """Split a batch that is no JSON because of some of its messages."""
    found = scan_batch(body, BATCH)
    if found is None:
        raise invalid(BODY, syntax_reason(body))
    pieces, around = found
    try:
        return pieces, decode_parts(around)
    except UNREADABLE:
        raise invalid(BODY, syntax_reason(around)) from None


def _messages(parts: Mapping[str, msgspec.Raw]) -> Sequence[msgspec.Raw]:
    given = parts.get(BATCH)
    if given is None:
        raise missing(BATCH)
    try:
        return _decode_list(given)
    except msgspec.ValidationError:
        raise invalid(BATCH, NOT_LIST) from None


def _common(parts: Mapping[str, msgspec.Raw]) -> Message:
    """Return the fields that all messages of a batch share. One that cannot be read is kept as text."""
    common: Message = {}
    for name, raw in parts.items():
        if name != BATCH:
            try:
                common[name] = msgspec.json.decode(raw)
            except UNREADABLE:
                common[name] = bytes(raw).decode("utf-8", "replace")
    return common


def _event_of(piece: bytes, settled: Message, common: Message | None = None) -> bytes:
    """`settled`: fields that go before the message's own; `common`: those that go after them."""
    try:
        return _encode(event_of(_with_common(_decode(piece), common or {}) | settled))
    except UNREADABLE:
        return piece


def _with_common(message: Message, common: Message) -> Message:
    whole = common | message
    contexts = common.get("context"), message.get("context")
    if isinstance(contexts[0], dict) and isinstance(contexts[1], dict):
        whole["context"] = contexts[0] | contexts[1]
    return whole


def event_of(message: Message) -> Message:
    """Return our event for one message, whatever it holds."""
    rest = dict(message)
    rest.pop("writeKey", None)
    kind = _kind_of(rest)
    event: Message = {"event_name": _name_of(kind, rest), "event_id": _event_id_of(rest)}
    event |= _persons_of(kind, rest) | _times_of(rest)
    properties = _properties_of(kind, rest)
    given = rest.get("context")
    unused = dict(given) if isinstance(given, dict) else {}
    event["context"] = _context_of(unused, properties) or None
    if isinstance(given, dict):
        rest["context"] = unused
    event |= _with_rest(properties, rest)
    return {name: value for name, value in event.items() if value is not None}


def _kind_of(rest: Message) -> str:
    """Return the kind, which stays in the rest; empty where it is none of Segment's."""
    kind = rest.get("type")
    if kind in KINDS:
        return str(kind)
    return "track" if "event" in rest else ""


def _name_of(kind: str, rest: Message) -> Any:
    if kind != "track":
        return _NAMES.get(kind)
    name = rest.pop("event", None)
    if not isinstance(name, str) or is_event_name(name):
        return name
    snake = suggest_name(name)
    if not snake:
        return name  # to be refused: there is nothing in it that a name may have
    rest["event"] = name
    return snake


def _event_id_of(rest: Message) -> str | None:
    """Return the message's id, or one made of it where it is none of ours: a repeat has the same."""
    given = rest.get("messageId")
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str) or not given:
        return None
    if not EVENT_ID_PATTERN.match(given):
        return "sgm_" + digest(given)
    del rest["messageId"]
    return given


def _persons_of(kind: str, rest: Message) -> Message:
    if kind == "alias" and not _is_nothing(rest.get("previousId")):
        anonymous_id = rest.pop("previousId")
    else:
        anonymous_id = rest.pop("anonymousId", None)
    return {"user_id": _id(rest.pop("userId", None)), "anonymous_id": _id(anonymous_id)}


def _id(given: Any) -> Any:
    """Return a person's id: numbers become texts, and what is neither is left to be refused."""
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


def _times_of(rest: Message) -> Message:
    """Return the times. A message that has been with Segment (`receivedAt`) has its clock corrected already."""
    if not _is_nothing(rest.get("receivedAt")) and not _is_nothing(rest.get("timestamp")):
        return {"timestamp": rest.pop("timestamp")}
    name = "timestamp" if _is_nothing(rest.get("originalTimestamp")) else "originalTimestamp"
    times = {"timestamp": rest.pop(name, None)}
    if _is_time(rest.get("sentAt")):
        times["sent_at"] = rest.pop("sentAt")
    return times


def _is_time(given: Any) -> bool:
    try:
        msgspec.convert(given, AwareTime)
    except msgspec.ValidationError:
        return False
    return isinstance(given, str)


def _properties_of(kind: str, rest: Message) -> Any:
    """Return the properties: an object that is a copy, or what is given instead, to be refused."""
    given = rest.pop("traits" if kind in _HAS_TRAITS else "properties", None)
    if not isinstance(given, dict) and not _is_nothing(given):
        return given
    properties = dict(given or {})
    if kind in ("page", "screen"):
        _move(rest, properties, "name", "name")
        _move(rest, properties, "category", "category")
    if kind == "group":
        _move(rest, properties, "groupId", "group_id")
    return properties


def _move(rest: Message, properties: Message, name: str, to: str) -> None:
    """Move a field to the properties, unless there is another of that name."""
    if not _is_nothing(rest.get(name)) and properties.get(to, rest[name]) == rest[name]:
        properties[to] = rest.pop(name)


def _context_of(unused: Message, properties: Any) -> Message:
    """Take what we have fields for out of a context. What is no text stays in it: a circumstance costs no event."""
    context: Message = {}
    for to, one in _CONTEXT.items():
        name = _camel_case(to)
        if not isinstance(one, EventField):
            context[to] = _taken(unused, name, one)
        elif isinstance(unused.get(name), str):
            context[to] = unused.pop(name)
    for name in _CONTEXT["page"]:
        if name not in context["page"] and isinstance(properties, dict) and isinstance(properties.get(name), str):
            context["page"][name] = properties[name]
    if "ip" in context:
        context["ip"] = context["ip"].partition(",")[0].strip()  # of the hops on its way, the first is the client
    return {name: value for name, value in context.items() if value != {}}


def _camel_case(name: str) -> str:
    """Return Segment's name of a field: `userAgent` for `user_agent`."""
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def _taken(unused: Message, name: str, fields: Container[str]) -> Message:
    """Take the texts out of an object inside the context; the rest of it stays there."""
    given = unused.get(name)
    if not isinstance(given, dict):
        return {}
    unused[name] = {field: value for field, value in given.items() if field not in fields or not _is_text(value)}
    return {field: _id(value) for field, value in given.items() if field in fields and _is_text(value)}


def _is_text(value: Any) -> bool:
    """Tell whether it is a text, or a number that stands for one."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def _with_rest(properties: Any, rest: Message) -> Message:
    """Return the properties with the rest in them, or beside them where they are no object, and so to be refused."""
    kept = _storable({name: value for name, value in rest.items() if not _is_empty(value)}, MAX_PROPERTY_DEPTH - 1)
    if not isinstance(properties, dict):
        return {"properties": properties, _KEEPS: kept}
    name = _KEEPS
    while name in properties:
        name += "_"
    return {"properties": properties | ({name: kept} if kept else {})}


def _is_nothing(value: Any) -> bool:
    return value in _NOTHING


def _is_empty(value: Any) -> bool:
    """Tell whether there is no value in it, on the first levels."""
    if isinstance(value, dict):
        return all(_is_nothing(item) for item in value.values())
    return _is_nothing(value)


def _storable(value: Any, levels: int) -> Any:
    """Return the value as properties may have it: what is nested deeper, and numbers too wide, become texts."""
    if isinstance(value, dict | list) and levels == 0:
        return _encode(value).decode()
    if isinstance(value, dict):
        return {name: _storable(item, levels - 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, levels - 1) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not _MIN_INT64 <= value <= _MAX_UINT64:
        return str(value)
    return value


def key_in_basic(authorization: bytes) -> bytes:
    """Return the user of `Authorization: Basic …`, empty where it is none."""
    scheme, _, coded = authorization.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return b64decode(coded.strip(), validate=True).partition(b":")[0]
    except (Base64Error, ValueError):
        return b""


def key_in_body(body: bytes) -> bytes:
    """Return the `writeKey` of a body, empty where there is none."""
    try:
        key = msgspec.json.decode(body, type=_Keyed).writeKey
    except UNREADABLE:
        return b""
    return key.encode()


class _Keyed(msgspec.Struct):
    writeKey: str = ""
