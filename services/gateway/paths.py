"""Canonical form of a request's path, which is checked, counted, routed and forwarded. Pure.

A path that others on its way might read differently is no path of ours: with `.` and `..`, empty segments, backslashes
or control characters, encoded or not.
"""

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_AMBIGUOUS: Final = re.compile(r"//|/\.{1,2}(?:/|\Z)|[\x00-\x1f\x7f]")
_SAFE: Final = "/:@!$&'()*+,;=~"
"""Characters that may stand in a segment as they are (RFC 3986, section 3.3)."""


def canonical_path(raw: bytes) -> str | None:
    """Return the path of a request target, decoded; None if it is not read alike by everyone."""
    if not raw.startswith(b"/") or b"\\" in raw:
        return None
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        return None
    return None if _AMBIGUOUS.search(path) else path


def encoded_path(path: str) -> bytes:
    """Encode a canonical path as it stands in a request target."""
    return quote(path, safe=_SAFE).encode()
