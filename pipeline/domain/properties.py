"""The caller's properties, decoded only for the few events whose properties decide something."""

from typing import Any

import msgspec

from schemas.unreadable import UNREADABLE

_decode = msgspec.json.Decoder().decode


def read_properties(raw: msgspec.Raw) -> dict[str, Any]:
    """Read the properties; empty where there is no object: what cannot be read must not stop a stream that has accepted
    it already.
    """
    try:
        found = _decode(raw)
    except UNREADABLE:
        return {}
    return found if isinstance(found, dict) else {}
