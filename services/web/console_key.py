"""Key of the console for reads of one app: signed, short-lived, stored nowhere. Pure.

The console reads over the API like everybody else, so its numbers are the API's. It has no key of the app; it signs one
that holds for a minute, with the signing key that the control plane keeps for all replicas.
"""

from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Final

PREFIX: Final = "console"
LIFE_MS: Final = 60_000
_PURPOSE: Final = b"console key\0"


def make_console_key(signing_key: bytes, app_id: str, expires_at_ms: int) -> str:
    """`console.<expiry>.<app id>.<signature>`"""
    claim = f"{PREFIX}.{expires_at_ms}.{app_id}"
    return f"{claim}.{_sign(signing_key, claim)}"


def app_of_console_key(given: str, signing_key: bytes, now_ms: int) -> str | None:
    """Return the app the key reads; None: it is no such key, is signed by somebody else, or is too old."""
    claim, _, signature = given.rpartition(".")
    parts = claim.split(".")
    if len(parts) != 3 or parts[0] != PREFIX or not parts[1].isdecimal() or not signing_key:
        return None
    if not compare_digest(signature.encode(), _sign(signing_key, claim).encode()):
        return None
    return parts[2] if now_ms < int(parts[1]) <= now_ms + LIFE_MS else None


def _sign(signing_key: bytes, claim: str) -> str:
    return hmac_digest(signing_key, _PURPOSE + claim.encode(), "sha256").hex()
