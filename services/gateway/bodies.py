"""The bytes of a request, bounded while they come."""

import asyncio
from typing import Final

from starlette.types import Receive

from schemas.errors import ErrorCode
from services.gateway.decompression import inflate
from services.gateway.errors import ClientGone
from services.gateway.request_head import Call
from services.gateway.threads import compute
from services.web.budget import Held
from services.web.errors import ApiError, invalid
from services.web.event_reasons import BODY_TOO_LARGE, BODY_TOO_SLOW

_DRAIN_BYTES: Final = 16 * 1024 * 1024
_DRAIN_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 0.5
"""Seconds without data after which a client is taken to be waiting for the answer."""
_BODY_SECONDS: Final = 30.0
_LONG_BYTES: Final = 2 * 1024
"""Inflating a longer body may take longer than others should wait."""
_CLOSE: Final = ((b"connection", b"close"),)


async def read_body(call: Call, receive: Receive, limit_bytes: int, held: Held) -> bytes:
    """Read the whole body and undo its content coding. Every byte kept is counted in `held` first.

    Raises `ApiError`, `ClientGone` or `Overloaded`.
    """
    body = await read_coded_body(call, receive, limit_bytes, held)
    if not call.content_encoding:
        return body
    inflated = await compute(len(body) > _LONG_BYTES, inflate, body, call.content_encoding, limit_bytes)
    held.take(len(inflated))
    return inflated


async def read_coded_body(call: Call, receive: Receive, limit_bytes: int, held: Held) -> bytes:
    """Read the whole body as it came, without undoing its content coding."""
    if call.content_length is not None and call.content_length > limit_bytes:
        raise await _refused(receive, call.content_length, limit_bytes, seen_bytes=0)
    return await _read(receive, limit_bytes, held)


async def _read(receive: Receive, limit_bytes: int, held: Held) -> bytes:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    first: bytes = message.get("body", b"")
    held.take(len(first))
    if not message.get("more_body", False) and len(first) <= limit_bytes:
        return first
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await _read_rest(receive, first, bool(message.get("more_body")), limit_bytes, held)
    except TimeoutError:
        raise invalid("body", BODY_TOO_SLOW) from None


async def _read_rest(receive: Receive, first: bytes, has_more: bool, limit_bytes: int, held: Held) -> bytes:
    body = bytearray(first)
    while len(body) <= limit_bytes and has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        held.take(len(chunk))
        body += chunk
        has_more = message.get("more_body", False)
    if len(body) <= limit_bytes:
        return bytes(body)
    raise await _refused(receive, len(body), limit_bytes, len(body), is_read=not has_more)


async def _refused(receive: Receive, actual: int, limit_bytes: int, seen_bytes: int, is_read: bool = False) -> ApiError:
    """Refuse a body that is too large, after reading past it: a client that is still sending would not look at an
    answer. One that goes on for too long has its connection closed.
    """
    is_read = is_read or await _drain(receive, _DRAIN_BYTES - seen_bytes)
    return ApiError(
        ErrorCode.PAYLOAD_TOO_LARGE,
        field="body",
        reason=BODY_TOO_LARGE,
        headers=() if is_read else _CLOSE,
        limit=limit_bytes,
        actual=actual,
    )


async def _drain(receive: Receive, most_bytes: int) -> bool:
    """Read on; tell whether the end of the body was reached."""
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while most_bytes > 0:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                if not message.get("more_body", False):
                    return True
                most_bytes -= len(message.get("body", b""))
    except TimeoutError:
        pass
    return False
