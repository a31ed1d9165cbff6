"""The head of a request: the few fields the gateway reads, found in one pass over the headers."""

import re
from typing import Final

from starlette.types import Scope

from pipeline.runtime.client_address import TrustedProxies
from services.web.envelope import Language, language_of
from services.web.middleware import choose_request_id

CALL: Final = "attrikit.call"
"""Key of the `Call` that `Edge` puts in the ASGI scope."""

RANDOM_BYTES: Final = 22
_LENGTH: Final = re.compile(rb"[0-9]{1,15}\Z")


class Call:
    """One request, without its body. Header values are bytes, empty where absent."""

    __slots__ = (
        "answer_headers",
        "app_id",
        "authorization",
        "content_encoding",
        "content_length",
        "content_type",
        "cookie",
        "error_code",
        "host",
        "ip",
        "language",
        "origin",
        "query",
        "random_80_bits",
        "referer",
        "request_id",
        "requested_headers",
        "requested_method",
        "user_agent",
    )

    def __init__(self, scope: Scope, random_bytes: bytes, proxies: TrustedProxies) -> None:
        """Read the head. `random_bytes`: `RANDOM_BYTES` of them, for the ids we make: those of events that bring none,
        and the request's own where the caller sends none that is fit to log and echo.
        """
        found = {name: value for name, value in scope["headers"] if name in _READ}
        get = found.get
        self.authorization: bytes = get(b"authorization", b"")
        self.content_type: bytes = get(b"content-type", b"")
        self.content_encoding: bytes = get(b"content-encoding", b"")
        self.content_length = _length(get(b"content-length", b""))
        self.user_agent = _text(get(b"user-agent", b""))
        self.language: Language = language_of(get(b"accept-language", b""))
        self.request_id = choose_request_id(get(b"x-request-id", b"").decode("latin-1"), random_bytes[10:].hex())
        self.random_80_bits = int.from_bytes(random_bytes[:10])
        self.origin: bytes = get(b"origin", b"")
        self.cookie: bytes = get(b"cookie", b"")
        self.referer: bytes = get(b"referer", b"")
        self.host: bytes = get(b"host", b"")
        self.requested_method: bytes = get(b"access-control-request-method", b"")
        self.requested_headers: bytes = get(b"access-control-request-headers", b"")
        self.query: bytes = scope.get("query_string", b"")
        client = scope.get("client")
        self.ip = proxies.client(client[0] if client else "", _forwarded_for(scope) if _FORWARDED_FOR in found else b"")
        self.answer_headers: tuple[tuple[bytes, bytes], ...] = ()
        """Headers for the answer, whatever it will be."""
        self.app_id = ""
        """App of the request, once that is known."""
        self.error_code = ""
        """Code of the error it was answered with."""


_FORWARDED_FOR: Final = b"x-forwarded-for"
_READ: Final = frozenset(
    {
        *(b"authorization", b"content-type", b"content-encoding", b"content-length", b"user-agent"),
        *(b"accept-language", b"x-request-id", b"origin", b"referer", b"cookie", b"host", _FORWARDED_FOR),
        *(b"access-control-request-method", b"access-control-request-headers"),
    }
)


def _forwarded_for(scope: Scope) -> bytes:
    """Join the headers: several say the same as one with their values in a row (RFC 9110, section 5.3)."""
    return b",".join(value for name, value in scope["headers"] if name == _FORWARDED_FOR)


def _text(value: bytes) -> str:
    """Decode a header that is UTF-8 where it is no ASCII, as people's own names for their programs are."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _length(value: bytes) -> int | None:
    return int(value) if _LENGTH.match(value) else None
