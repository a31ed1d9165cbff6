"""The two shapes of every answer, and the language of its messages. Pure.

`{"success": true, "data": …}` and `{"success": false, "error": {"code", "message", "details"}}`.
"""

from typing import Any, Final, Literal

import msgspec

from schemas.caches import cache_short_texts
from services.web.errors import ApiError, Error

Language = Literal["zh", "en"]

JSON_HEADER: Final = (b"content-type", b"application/json")
encode_json = msgspec.json.Encoder(decimal_format="number").encode
"""Decimals become JSON numbers, digit for digit; `msgspec.Raw` is embedded as it is."""


class Success(msgspec.Struct, kw_only=True):
    success: bool = True
    data: Any


class Failure(msgspec.Struct, kw_only=True):
    success: bool = False
    error: Error


class Reply(msgspec.Struct):
    """A complete HTTP answer. `headers` stand beside those every answer has."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (JSON_HEADER,)


def success(status: int, data: Any) -> Reply:
    return Reply(status, encode_json(Success(data=data)))


def failure(error: ApiError, language: Language) -> Reply:
    body = encode_json(Failure(error=error.body(language)))
    return Reply(error.code.status, body, (JSON_HEADER, *error.headers))


@cache_short_texts(256, 256)
def language_of(accept_language: bytes) -> Language:
    """`en` where an `Accept-Language` header prefers English to Chinese, else `zh`, as the API document is.

    Quality values as in RFC 9110, section 12.4.2; among equals the first stands.
    """
    best: Language = "zh"
    best_quality = 0.0
    for item in accept_language[:1024].decode("latin-1").lower().split(","):
        tag, _, parameters = item.partition(";")
        primary = tag.strip().partition("-")[0]
        quality = _quality(parameters)
        if primary in ("zh", "en") and quality > best_quality:
            best = "en" if primary == "en" else "zh"
            best_quality = quality
    return best


def _quality(parameters: str) -> float:
    name, _, value = parameters.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
