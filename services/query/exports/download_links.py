"""Links that open without a key for a limited time: signed with the key all replicas share. Pure.

Not `itsdangerous`: the end of a link's life is a parameter of the documented API that people can read, and the links
that were sent out go on to open.
"""

from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Final
from urllib.parse import urlencode

PATH: Final = "/v1/reports/export/{job_id}/download"


def download_path(signing_key: bytes, job_id: str, expires_s: int) -> str:
    """Return path and query, to be put behind the address the API is reached at. `expires_s`: seconds since the
    epoch.
    """
    query = urlencode({"expires": expires_s, "signature": signature(signing_key, job_id, expires_s)})
    return f"{PATH.format(job_id=job_id)}?{query}"


def signature(signing_key: bytes, job_id: str, expires_s: int) -> str:
    """Return the hex HMAC-SHA-256."""
    signed = f"download\x1f{job_id}\x1f{expires_s}".encode()
    return hmac_digest(signing_key, signed, "sha256").hex()


def opens(signing_key: bytes, job_id: str, expires_s: int, given: str, now_s: float) -> bool:
    """Tell whether the signature is ours and still valid."""
    expected = signature(signing_key, job_id, expires_s).encode()
    return compare_digest(given.encode("utf-8", "replace"), expected) and now_s < expires_s
