"""Find the borders of the events of a JSON batch that no parser reads, by a tolerant scan. Pure.

A mistake inside one event (half an emoji, NaN, a raw tab, a bad escape, a stray quote) makes the whole body invalid
JSON. The scan knows brackets and strings and nothing else of JSON, so such a mistake stays inside its event. A stray or
missing quote turns strings inside out; then the event ends where the next one begins: an object whose first key is a
field of events, or that is readable and has an `event_name`.

The work is linear in the size of the body: each event is scanned once, and what may be spent on looking for the next
one is bounded by the size of the body.
"""

import re
from functools import cache
from typing import Final

import msgspec

from schemas.events import MAX_BATCH_EVENTS, MAX_EVENT_BYTES
from schemas.unreadable import UNREADABLE
from services.gateway.event_fields import IncomingEvent

_DEPTH: Final = 12
"""Maximum depth of brackets; deeper than any event may have. A deeper event ends where the next readable one begins."""
_LEAST_COST_BYTES: Final = 256
"""Minimum cost of trying a place: calling a parser takes as long as reading so much."""

_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'


def _container(depth: int) -> bytes:
    """A pattern for an object or array with up to `depth` levels inside. Possessive: it never goes back."""
    inner = rb"" if depth == 0 else b"|" + _container(depth - 1)
    return rb'[{\[](?:[^{}\[\]"]++|' + _STRING + inner + rb")*+[}\]]"


_VALUE: Final = _container(_DEPTH) + b"|" + _STRING + rb'|[^{}\[\]",:\s]++'
_FIELD: Final = rb"\s*+" + _STRING + rb"\s*+:\s*+(?:" + _VALUE + rb")\s*+"
_match_value: Final = re.compile(_VALUE, re.DOTALL).match
EVENTS: Final = "events"
_match_tail: Final = re.compile(rb"\s*+\](?:\s*+," + _FIELD + rb")*+\s*+\}\s*+\Z", re.DOTALL).match
_match_comma: Final = re.compile(rb"\s*+,\s*+").match
_NEXT: Final = rb"\}\s*+,\s*+(?=\{"
_next_object: Final = re.compile(_NEXT + rb")").finditer
_next_named: Final = re.compile(
    _NEXT + rb'\s*+"(?:' + "|".join(IncomingEvent.__struct_fields__).encode() + rb')"\s*+:)'
).search


class _Named(msgspec.Struct):
    event_name: msgspec.Raw


_decode_named: Final = msgspec.json.Decoder(_Named).decode
_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


@cache
def _head(field: str) -> re.Pattern[bytes]:
    """Return the pattern of a batch up to its first event."""
    key = rb'"' + field.encode() + rb'"'
    return re.compile(
        rb"\s*+\{(?:(?!\s*+" + key + rb"\s*+:)" + _FIELD + rb",)*+\s*+" + key + rb"\s*+:\s*+\[\s*+", re.DOTALL
    )


def has_events(body: bytes) -> bool:
    """Tell whether the body begins as a batch does, with an array under the key `events`."""
    return _head(EVENTS).match(body) is not None


def scan_events(body: bytes) -> list[bytes] | None:
    """Return the bytes of each event, one more than the maximum at most; None if `body` is no batch of events.

    The text around the events has to be in order: a body that was cut short is not split.
    """
    found = scan_batch(body, EVENTS)
    return None if found is None else found[0]


def scan_batch(body: bytes, field: str) -> tuple[list[bytes], bytes] | None:
    """Return the bytes of each event, as `scan_events` does, and the body without them. `field`: their array's key."""
    head = _head(field).match(body)
    if head is None:
        return None
    scan = _Scan(body)
    pieces = scan.pieces(head.end())
    return None if pieces is None else (pieces, body[: head.end()] + body[scan.end :])


class _Scan:
    """Scan of one body. `_budget_bytes`: what may still be spent on looking for the next event."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._budget_bytes = len(body) + MAX_EVENT_BYTES
        self.end = 0
        """Offset in the body at which the last event ends."""

    def pieces(self, start: int) -> list[bytes] | None:
        self.end = start
        if _match_tail(self._body, start):
            return []
        pieces: list[bytes] = []
        while len(pieces) <= MAX_BATCH_EVENTS:
            end = self._end_of(start)
            if end is None:
                return None
            pieces.append(self._body[start:end].rstrip())
            self.end = end
            comma = _match_comma(self._body, end)
            if comma is None:
                break
            start = comma.end()
        return pieces

    def _end_of(self, start: int) -> int | None:
        """Return where the event that begins at `start` ends."""
        end = self._scanned_end(start)
        if end is not None and _is_readable(self._body[start:end]):
            return end
        # What is broken may have taken in the events after it.
        return self._before_next(start, len(self._body) if end is None else end) or end or self._last_end(start)

    def _scanned_end(self, start: int) -> int | None:
        """Return where its brackets close, if that is where an event may end."""
        found = _match_value(self._body, start, start + MAX_EVENT_BYTES)
        if found is None and self._budget_bytes > 0:
            found = _match_value(self._body, start)
            self._budget_bytes -= (found.end() if found else len(self._body)) - start
        return found.end() if found and self._is_border(found.end()) else None

    def _is_border(self, end: int) -> bool:
        return _match_comma(self._body, end) is not None or _match_tail(self._body, end) is not None

    def _before_next(self, start: int, stop: int) -> int | None:
        """Return the end of the first object that another event follows."""
        named = _next_named(self._body, start, stop)
        for border in _next_object(self._body, start, named.start() if named else stop):
            if self._budget_bytes <= 0:
                break
            if self._is_event(border.end()):
                return border.start() + 1
        return named.start() + 1 if named else None

    def _is_event(self, start: int) -> bool:
        found = _match_value(self._body, start, start + MAX_EVENT_BYTES)
        scanned = (found.end() - start) if found else MAX_EVENT_BYTES
        self._budget_bytes -= max(scanned, _LEAST_COST_BYTES)
        return found is not None and _is_named(self._body[start : found.end()])

    def _last_end(self, start: int) -> int | None:
        """Return the end of the array, where no other event follows."""
        closing = self._body.rfind(b"]", start)
        return closing if closing >= 0 and _match_tail(self._body, closing) else None


def _is_readable(piece: bytes) -> bool:
    try:
        _decode_list(b"[" + piece + b"]")
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _is_named(piece: bytes) -> bool:
    try:
        _decode_named(piece)
    except UNREADABLE:
        return False
    return True
