"""Errors of the services' answers. Pure.

ApiError    the caller reads it: a code of the contract, the field, the reason. Never retried by us.
"""

from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from schemas.errors import ErrorCode


class Text(NamedTuple):
    """A sentence for people, in both languages of the API."""

    zh: str
    en: str

    def in_language(self, language: str) -> str:
        return self.en if language == "en" else self.zh


class Error(msgspec.Struct):
    code: Annotated[ErrorCode, Meta(description="What a program acts on; never changes.")]
    message: Annotated[
        str,
        Meta(
            description="For people, in the language of `Accept-Language`: `zh` (default) or `en`. What the code "
            "means, then the field and the reason; a 401 says whether the key is missing, malformed, unknown or "
            "revoked."
        ),
    ]
    details: Annotated[
        dict[str, Any],
        Meta(
            description="`field` and `reason` where there is one; `limit` and `actual` for PAYLOAD_TOO_LARGE; "
            "`value` and `suggestion` for INVALID_EVENT_NAME; `required_scope`; `allowed`; `request_id`; "
            "`is_kept: false` where what was refused could not be written down; "
            "`limit`, `plan` and `reset_at` for RATE_LIMIT_EXCEEDED."
        ),
    ]


class ApiError(Exception):
    """An error of the contract. `field` is a path such as `context.page.url`; the caller gets `details` as they are."""

    def __init__(
        self,
        code: ErrorCode,
        *,
        field: str = "",
        reason: Text | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        **details: Any,
    ) -> None:
        super().__init__(f"{code} {field}".rstrip())
        self.code = code
        self.field = field
        self.reason = reason
        self.headers = headers
        self.details = details

    def under(self, place: str) -> "ApiError":
        """Return the same error, seen from the whole body: `event_name` of the fourth event is
        `events[3].event_name`.
        """
        field = f"{place}.{self.field}" if self.field else place
        return ApiError(self.code, field=field, reason=self.reason, headers=self.headers, **self.details)

    def within_request(self, request_id: str) -> "ApiError":
        """A copy that names the request: requests that wait for one thing share its error."""
        details = {"request_id": request_id} | self.details
        return ApiError(self.code, field=self.field, reason=self.reason, headers=self.headers, **details)

    def at(self, place: str) -> "ApiError":
        """Return the same error, at `place` unless it has a field of its own: a whole body that is no JSON, say."""
        return self if self.field else self.under(place)

    def body(self, language: str) -> Error:
        """Return the body for the caller, in `language` (`zh` or `en`)."""
        details: dict[str, Any] = {}
        if self.field:
            details["field"] = self.field
        if self.reason is not None:
            details["reason"] = self.reason.in_language(language)
        return Error(self.code, self._message(language), details | self.details)

    def _message(self, language: str) -> str:
        """Return the code's message, and then the field and the reason."""
        mark, colon = ("：", " ") if language == "zh" else (": ", ": ")
        reason = self.reason.in_language(language) if self.reason is not None else ""
        told = colon.join(filter(None, (self.field, reason)))
        return self.code.message(language) + (mark + told if told else "")


NO_PATH: Final = Text(
    "没有这个路径，接口文档见 /docs 和 /openapi.json", "there is no such path; /docs and /openapi.json describe the API"
)


def no_path() -> ApiError:
    """There is nothing at the path of the request."""
    return ApiError(ErrorCode.NOT_FOUND, reason=NO_PATH)


def missing(field: str) -> ApiError:
    return ApiError(ErrorCode.MISSING_REQUIRED_FIELD, field=field)


def invalid(field: str, reason: Text, **details: Any) -> ApiError:
    return ApiError(ErrorCode.INVALID_PARAMETER, field=field, reason=reason, **details)


def server_error(retry_after_seconds: int, **details: Any) -> ApiError:
    """Anything on our side; the caller may try again after that time."""
    headers = ((b"retry-after", str(retry_after_seconds).encode()),)
    return ApiError(ErrorCode.SERVER_ERROR, headers=headers, **details)


class BrokenAnswer(Exception):
    """Error: the rest of an answer that has begun cannot be had. The connection ends before the answer does."""
