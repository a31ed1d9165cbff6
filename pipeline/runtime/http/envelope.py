"""The two shapes of every answer: `{"success": true, "data": …}` and `{"success": false, "error": {…}}`. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from schemas.errors import ErrorCode

DEFAULT_LANGUAGE: Final = "zh"
_LANGUAGES: Final = ("zh", "en")

encode_json = msgspec.json.Encoder(decimal_format="number").encode
"""Decimals become JSON numbers, digit for digit; `msgspec.Raw` is embedded as it is."""


class ApiError(Exception):
    """An answer other than success: what a handler raises, and the envelope it becomes.

    `details` follow the table of codes (`field` and `reason` of an INVALID_PARAMETER, say). `retry_after_seconds`
    becomes the header of that name.
    """

    def __init__(
        self,
        code: ErrorCode,
        details: Mapping[str, Any] | None = None,
        *,
        retry_after_seconds: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code.value, dict(details or {}))
        self.code = code
        self.details: dict[str, Any] = dict(details or {})
        self.headers: dict[str, str] = dict(headers or {})
        if retry_after_seconds is not None:
            self.headers["Retry-After"] = str(retry_after_seconds)
        if code is ErrorCode.INVALID_API_KEY:
            self.headers.setdefault("WWW-Authenticate", 'Bearer realm="attrikit"')


def invalid_parameter(field: str, reason: str) -> ApiError:
    return ApiError(ErrorCode.INVALID_PARAMETER, {"field": field, "reason": reason})


def success_body(data: Any) -> bytes:
    return encode_json({"success": True, "data": data})


def failure_body(code: ErrorCode, language: str, details: Mapping[str, Any] | None = None) -> bytes:
    """`language`: `zh` or `en`."""
    error = {"code": code.value, "message": code.message(language), "details": dict(details or {})}
    return encode_json({"success": False, "error": error})


def language_of(accept_language: str) -> str:
    """`zh` or `en`, whichever an `Accept-Language` header (RFC 9110, 12.5.4) likes better; `zh` if it names neither."""
    best, best_weight = DEFAULT_LANGUAGE, 0.0
    for language, weight in _language_ranges(accept_language):
        if weight > best_weight:
            best, best_weight = language, weight
    return best


def _language_ranges(accept_language: str) -> Iterator[tuple[str, float]]:
    """The ranges that name a language we speak, with their weights, in the header's order."""
    for part in accept_language.lower().split(","):
        tag, _, parameter = part.partition(";")
        language = tag.strip().partition("-")[0]
        if language in _LANGUAGES:
            yield language, _weight(parameter)


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
