"""Errors of the gateway alone, beside those every HTTP service shares (`services.web.errors`).

    ApiError      the caller reads it: a code of the contract, the field, the reason. Never retried by us.
    ClientGone    the caller hung up while sending: nobody is left to answer

Failures on the way to the broker have a tree of their own in `services.gateway.publish`.
"""

from schemas.errors import ErrorCode
from services.web.errors import ApiError, Text


class ClientGone(Exception):
    """Error: the caller hung up before its request was complete."""


def too_large(field: str, reason: Text, *, limit: int, actual: int) -> ApiError:
    """Build the error for an excess. `limit` and `actual`: in the unit the reason speaks of."""
    return ApiError(ErrorCode.PAYLOAD_TOO_LARGE, field=field, reason=reason, limit=limit, actual=actual)
