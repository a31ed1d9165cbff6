"""Keys of the console: for reads of one app, signed, short-lived and stored nowhere; and for reporting to it. Pure.

The console reads over the API like everybody else, so its numbers are the API's. It has no key of the app; it signs one
that holds for a minute, with the signing key that the control plane keeps for all replicas. The key it reports with is
an ordinary one, which gateways know by its hash; it follows from the signing key, so that all replicas have the same.
"""

from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Final

from schemas.ids import digest

PREFIX: Final = "console"
LIFE_MS: Final = 60_000
REPORTING_KEY_PREFIX: Final = "key_console_"
"""Start of the ids of keys that the console reports with."""
_PURPOSE: Final = b"console key\0"
_REPORTING: Final = b"console reporting\0"


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


def reporting_key_id(app_id: str, number: int) -> str:
    """Return the id of the key that reports to the app, when so many before it were revoked."""
    return REPORTING_KEY_PREFIX + digest(app_id, str(number))[:12]


def reporting_key_bits(signing_key: bytes, key_id: str) -> int:
    """Return the bits of the key of that id, as `format_secret` takes them."""
    return int.from_bytes(hmac_digest(signing_key, _REPORTING + key_id.encode(), "sha256"), "big")


def _sign(signing_key: bytes, claim: str) -> str:
    return hmac_digest(signing_key, _PURPOSE + claim.encode(), "sha256").hex()
