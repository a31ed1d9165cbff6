"""Protection of forms: a request that changes something comes from a page of ours, with that page's token. Pure.

The token is a random number with its MAC under the session's id: another one in every page, so that compressing pages
gives nothing away.
"""

import secrets
from collections.abc import Mapping
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Final
from urllib.parse import urlsplit

_NONCE_BYTES: Final = 16


def make_token(session: str) -> str:
    nonce = secrets.token_hex(_NONCE_BYTES)
    return nonce + _mac(session, nonce)


def is_token(given: str, session: str) -> bool:
    nonce, mac = given[: 2 * _NONCE_BYTES], given[2 * _NONCE_BYTES :]
    return bool(session) and compare_digest(mac.encode(), _mac(session, nonce).encode())


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Tell whether a page of this host sent the request: by `Sec-Fetch-Site`, else by `Origin`. Without both: no."""
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site is not None
    host = _host_of(origin)
    return bool(host) and host == headers.get("host")


def _host_of(origin: str) -> str:
    """Return host and port; empty where there are none, or the text is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:  # a bracket without its other one
        return ""


def is_local_path(path: str) -> bool:
    """Tell whether a redirect to `path` stays here: one slash, and nothing a browser takes for another host."""
    return path.startswith("/") and not path.startswith("//") and not any(char in path for char in "\\\r\n\t")


def _mac(session: str, nonce: str) -> str:
    return hmac_digest(session.encode(), b"form\0" + nonce.encode(), "sha256").hex()
