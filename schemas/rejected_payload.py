"""Payload of a refused event, as `RejectedRow` keeps it: whole where it could be sent again, else its head. Pure."""

from typing import Final

import msgspec

from schemas.events import MAX_EVENT_BYTES
from schemas.unreadable import UNREADABLE

HEAD_BYTES: Final = 4_096
"""Maximum size, in UTF-8, of the part kept of a refused payload that could not be sent again anyway."""


def kept_text(payload: bytes) -> str:
    """Return what is kept of a refused payload: all of a text no larger than an event may be; of anything else the
    head, at most `HEAD_BYTES`, with undecodable bytes replaced (a byte becomes a character of three).
    """
    if len(payload) <= MAX_EVENT_BYTES:
        try:
            return payload.decode()
        except UnicodeDecodeError:
            pass
    text = payload[:HEAD_BYTES].decode("utf-8", "replace")
    return text.encode()[:HEAD_BYTES].decode("utf-8", "ignore")


def is_cut(payload: str) -> bool:
    """Tell whether the end of a refused payload is missing. Cutting takes back at most the three bytes of a character
    it went through, and the beginning of a JSON value is no JSON value.
    """
    return HEAD_BYTES - 4 < len(payload.encode()) <= HEAD_BYTES and not _is_json(payload)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except UNREADABLE:
        return False
    return True
