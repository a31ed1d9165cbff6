"""Split a body into the raw bytes of each of its events. Pure.

One bad event must not cost its neighbours, so the events are split here and decoded one by one later. What is no JSON
because of a mistake inside an event is split by a tolerant scan (`event_borders`). Only a body that cannot be split at
all is refused whole: broken JSON around the events, too many events. A line of NDJSON stands alone, whatever is in it.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from schemas.events import MAX_BATCH_EVENTS
from schemas.unreadable import UNREADABLE
from services.gateway.errors import too_large
from services.gateway.event_borders import has_events, scan_events
from services.gateway.event_fields import IncomingEvent, OwnFieldsEvent, syntax_reason
from services.web.errors import ApiError, invalid, missing
from services.web.event_reasons import NOT_LIST, NOT_OBJECT, TOO_DEEP, TOO_MANY_EVENTS

BODY: Final = "body"
NDJSON_TYPES: Final = frozenset(
    (b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/x-jsonlines")
)


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_Slots: Final = msgspec.defstruct(
    "_Slots",
    [(f"event_{n}", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for n in range(MAX_BATCH_EVENTS + 1)],
    array_like=True,
)
"""The head of a list: what comes after it is read over without becoming objects, a million of which take 100 MB."""


class _Head(msgspec.Struct):
    events: _Slots | msgspec.UnsetType = msgspec.UNSET  # type: ignore[valid-type]


class _TypedBatch(msgspec.Struct):
    events: list[IncomingEvent]


class _OwnFieldsBatch(msgspec.Struct):
    events: list[OwnFieldsEvent]


class Events(NamedTuple):
    """The events of a request. `is_batch`: their error paths begin with `events[i]`."""

    pieces: Sequence[bytes | msgspec.Raw]
    """Bytes of each event, or a view of where in the body they stand: copies are seldom wanted."""
    is_batch: bool
    decoded: Sequence[IncomingEvent] | None = None
    """All events decoded, where that went well in one go."""
    is_plain: bool = False
    """True if the body is known to hold neither line breaks nor NUL characters: checked once on the whole body, that
    costs nothing.
    """
    has_own_fields: bool = False
    """True if the events are known to have no fields but those of events."""

    @property
    def raw(self) -> list[bytes]:
        return [bytes(piece) for piece in self.pieces]


_decode_batch: Final = msgspec.json.Decoder(_Batch).decode
_decode_typed: Final = msgspec.json.Decoder(_TypedBatch).decode
_decode_lines: Final = msgspec.json.Decoder(IncomingEvent).decode_lines
_decode_own: Final = msgspec.json.Decoder(_OwnFieldsBatch).decode
_decode_own_event: Final = msgspec.json.Decoder(OwnFieldsEvent).decode
_decode_own_lines: Final = msgspec.json.Decoder(OwnFieldsEvent).decode_lines
_decode_head: Final = msgspec.json.Decoder(_Head).decode
_MANY_COMMAS: Final = 100 * MAX_BATCH_EVENTS
_MANY_REPEATS: Final = 10 * MAX_BATCH_EVENTS
"""Limit on repeats of the field: each would be decoded, and only the last holds."""
_WHITESPACE: Final = b" \t\r\n"
_LINE_BREAKS: Final = re.compile(rb"\n[ \t\r\n]*")


def is_ndjson(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() in NDJSON_TYPES


class BrokenJson(Exception):
    """Error: the body has to be scanned for its events, which takes ten times as long as parsing it."""


def parse_batch(body: bytes, content_type: bytes, *, may_scan: bool = True) -> Events:
    """Parse `{"events": […]}`, or lines of NDJSON (blank ones do not count); 1 to `MAX_BATCH_EVENTS` events.

    Raises `ApiError`, or `BrokenJson` where it would have to scan and not `may_scan`.
    """
    if is_ndjson(content_type):
        lines = _lines(body)
        decoded, has_own_fields = _decode_at_once(body, _decode_own_lines, _decode_lines)
        # A line holds no more than one event, so as many events as lines are one each.
        in_full = decoded if decoded and len(decoded) == len(lines) else None
        return Events(lines, True, in_full, _is_plain(body, b"\r"), has_own_fields)
    pieces = _split(body, may_scan)  # first: it refuses a batch of millions
    decoded, has_own_fields = _decode_at_once(body, _decode_own_list, _decode_list)
    return Events(pieces, True, decoded, _is_plain(body, b"\n", b"\r"), has_own_fields)


def parse_any(body: bytes, content_type: bytes) -> Events:
    """Parse a body as a batch if it is NDJSON or an object with `events` (no event has such a field), else as one
    event.
    """
    return parse_batch(body, content_type) if is_batch(body, content_type) else Events([body], is_batch=False)


def events_of(pieces: Sequence[bytes]) -> Events:
    """Return a batch of events that are apart already."""
    try:
        decoded = [_decode_own_event(piece) for piece in pieces]
    except UNREADABLE:
        decoded = None
    is_plain = all(_is_plain(piece, b"\n", b"\r") for piece in pieces)
    return Events(pieces, True, decoded, is_plain, has_own_fields=decoded is not None)


def is_batch(body: bytes, content_type: bytes) -> bool:
    return is_ndjson(content_type) or _has_events(body)


def _lines(body: bytes) -> list[bytes]:
    parts = _LINE_BREAKS.split(body.strip(_WHITESPACE), MAX_BATCH_EVENTS)
    if len(parts) > MAX_BATCH_EVENTS:
        raise _too_many(len(parts) + parts[-1].count(b"\n"))
    lines = [part.rstrip(_WHITESPACE) for part in parts if part]
    if not lines:
        raise missing("events")
    return lines


def _split(body: bytes, may_scan: bool) -> Sequence[bytes | msgspec.Raw]:
    events: Sequence[bytes | msgspec.Raw]
    try:
        events = _raw_events(body)
    except msgspec.ValidationError as error:
        in_events = "`$.events`" in str(error)
        raise invalid("events" if in_events else BODY, NOT_LIST if in_events else NOT_OBJECT) from None
    except (msgspec.DecodeError, RecursionError) as error:
        if not may_scan:
            raise BrokenJson from None
        events = _scanned(body, error)
    if not events:
        raise missing("events")
    if len(events) > MAX_BATCH_EVENTS:
        raise _too_many(len(events))
    return events


def _scanned(body: bytes, error: Exception) -> list[bytes]:
    """Scan for the events of a body that is no JSON because of some of them; `error`: the parser's message."""
    events = scan_events(body)
    if events is None:
        raise invalid(BODY, TOO_DEEP if isinstance(error, RecursionError) else syntax_reason(body)) from None
    return events


def _raw_events(body: bytes) -> Sequence[msgspec.Raw]:
    """Return the raw events of a body that may hold very many: one more than the maximum at most."""
    if len(body) < 2 * _MANY_COMMAS or body.count(b",") < _MANY_COMMAS or body.count(b'"events"') > _MANY_REPEATS:
        events = _decode_batch(body).events
        return () if events is msgspec.UNSET else events
    slots = _decode_head(body).events
    given: tuple[Any, ...] = () if slots is msgspec.UNSET else msgspec.structs.astuple(slots)
    return [event for event in given if event is not msgspec.UNSET]


def _too_many(actual: int) -> ApiError:
    return too_large("events", TOO_MANY_EVENTS, limit=MAX_BATCH_EVENTS, actual=actual)


def _decode_list(body: bytes) -> list[IncomingEvent]:
    return _decode_typed(body).events


def _decode_own_list(body: bytes) -> list[OwnFieldsEvent]:
    return _decode_own(body).events


def _decode_at_once(
    body: bytes,
    decode_own: Callable[[bytes], Sequence[IncomingEvent]],
    decode: Callable[[bytes], Sequence[IncomingEvent]],
) -> tuple[Sequence[IncomingEvent] | None, bool]:
    """Decode all events at once, if that goes well; also tell whether they are known to have no fields of others."""
    try:
        return decode_own(body), True
    except msgspec.ValidationError as error:
        if "unknown field" not in str(error):
            return None, False
    except UNREADABLE:
        return None, False
    try:
        return decode(body), False
    except UNREADABLE:
        return None, False


def _is_plain(body: bytes, *breaks: bytes) -> bool:
    """Tell whether events hold no line breaks. `breaks`: what may break a line inside an event."""
    # One byte is found in no time, six are not.
    return not any(one in body for one in breaks) and not (b"\\" in body and b"\\u0000" in body)


def _has_events(body: bytes) -> bool:
    if b'"events"' not in body:
        return False
    try:
        return _decode_head(body).events is not msgspec.UNSET
    except msgspec.ValidationError as error:
        return "`$.events`" in str(error)
    except (msgspec.DecodeError, RecursionError):
        return has_events(body)
