"""Cursors: where a list goes on. Pure.

A cursor holds the sort key of the last row of a page, so the next page is found by comparison, not by counting: it
costs the same at any depth, and rows that arrive meanwhile neither repeat nor hide others. It names its list, so that
one list's cursor is not taken for another's. It holds nothing its reader has not seen already; a signature would
stand at the end of the encoded bytes.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Final, NamedTuple

import msgspec

_VERSION: Final = 1
_MAX_CHARACTERS: Final = 512


class Position(NamedTuple):
    """The sort key of a row: its time, then its id."""

    time_ms: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    id: str


class BadCursor(ValueError):
    """Not a cursor, or that of another list."""


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: int
    list_name: str
    position: Position


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Cursor).decode


def encode_cursor(list_name: str, position: Position) -> str:
    return urlsafe_b64encode(_encode(_Cursor(_VERSION, list_name, position))).rstrip(b"=").decode()


def decode_cursor(list_name: str, text: str) -> Position:
    """Raises `BadCursor`."""
    try:
        if len(text) > _MAX_CHARACTERS:
            raise BadCursor
        cursor = _decode(urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
    except ValueError:
        raise BadCursor("not a cursor; pass next_cursor of the page before, unchanged") from None
    if cursor.version != _VERSION or cursor.list_name != list_name:
        raise BadCursor("a cursor of another list")
    return cursor.position
