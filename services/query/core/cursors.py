"""Cursors: positions from which a list continues. Pure.

A cursor holds the sort key of the last row of a page, so the next page is found by comparison, not by counting: it
costs the same at any depth, and rows that arrive meanwhile neither repeat nor hide others.

It is signed with the key all replicas share, for one app and one list: a position made up by a caller, or taken from
another app's list, is refused. Callers have seen its content already, so it is not encrypted.

Not `itsdangerous`: its decoder takes some altered signatures for the same one, while one text and no other is a cursor
here; and the cursors that callers hold, which never expire, would need our decoder beside it all the same.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Annotated, Final, NamedTuple

import msgspec

_VERSION: Final = 2
MAX_CHARACTERS: Final = 2_048
"""Maximum length: enough for the longest id, every character of it escaped."""
_SIGNATURE_BYTES: Final = 16
"""Bytes kept of the 32 of HMAC-SHA-256: RFC 2104, section 5, allows half."""


class Position(NamedTuple):
    """Sort key of a row: its time, then its id."""

    time_ms: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    id: str


class BadCursor(ValueError):
    """Error: not a cursor of ours, or that of another list or app."""


class _Payload(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: int
    position: Position


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Payload).decode


@dataclass(frozen=True)
class Cursors:
    """Encoder and decoder of the cursors of one app."""

    signing_key: bytes = field(repr=False)
    app_id: str

    def encode(self, list_name: str, position: Position) -> str:
        payload = _encode(_Payload(_VERSION, position))
        return _text_of(self._sign(list_name, payload) + payload)

    def decode(self, list_name: str, text: str) -> Position:
        """Decode a cursor. Raises `BadCursor`."""
        try:
            raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
            if len(text) > MAX_CHARACTERS or _text_of(raw) != text:
                raise BadCursor  # the decoder skips what is not base64
            signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
            if not compare_digest(signature, self._sign(list_name, payload)):
                raise BadCursor
            cursor = _decode(payload)
        except ValueError:
            raise BadCursor("not a cursor of this list; pass next_cursor of the page before, unchanged") from None
        if cursor.version != _VERSION:
            raise BadCursor("a cursor of another version")
        return cursor.position

    def _sign(self, list_name: str, payload: bytes) -> bytes:
        signed = b"\x1f".join((b"cursor", self.app_id.encode(), list_name.encode(), payload))
        return hmac_digest(self.signing_key, signed, "sha256")[:_SIGNATURE_BYTES]


def _text_of(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
