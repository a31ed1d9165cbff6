"""Undo content codings, never past a limit: a small bomb costs neither memory nor time.

`gzip`, `deflate` (RFC 9110: the zlib format; the bare format some clients send is taken too), `br` and `zstd` (window
up to 8 MB, as RFC 8878 recommends for decoders).
"""

import sys
import zlib
from collections.abc import Callable
from typing import Final, Protocol

import brotli

from services.gateway.errors import too_large
from services.web.errors import invalid
from services.web.event_reasons import BROKEN_CODING, INFLATES_TOO_LARGE, MAX_FRAMES, TOO_MANY_FRAMES, UNKNOWN_CODING

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FIELD: Final = "Content-Encoding"
_ZSTD_WINDOW_LOG: Final = 23
_STEP_BYTES: Final = 64 * 1024


class _Frames(Protocol):
    """One compressed frame being read, as zlib's and zstd's decompressors do it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def inflate(body: bytes, coding: bytes, limit_bytes: int) -> bytes:
    """Return `body` before it was coded: nothing is nothing in any coding. Raises `PAYLOAD_TOO_LARGE` past
    `limit_bytes`, `INVALID_PARAMETER` if it is damaged.
    """
    name = coding.strip().lower()
    if name in (b"", b"identity"):
        return body
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise invalid(FIELD, UNKNOWN_CODING)
    try:
        inflated = decoder(body, limit_bytes) if body else b""
    except (zlib.error, zstd.ZstdError, brotli.error, EOFError):
        raise invalid(FIELD, BROKEN_CODING) from None
    if len(inflated) > limit_bytes:
        raise too_large("body", INFLATES_TOO_LARGE, limit=limit_bytes, actual=len(inflated))
    return inflated


def _frames(open_frame: Callable[[bytes], _Frames]) -> Callable[[bytes, int], bytes]:
    """Decode formats that may hold several frames in a row. It stops one byte past the limit."""

    def decode(body: bytes, limit_bytes: int) -> bytes:
        inflated = bytearray()
        position = frames = 0
        while position < len(body) and len(inflated) <= limit_bytes:
            frames += 1
            if frames > MAX_FRAMES:
                raise invalid(FIELD, TOO_MANY_FRAMES)
            frame = open_frame(body[position : position + 2])
            position = _read_frame(frame, body, position, inflated, limit_bytes)
        return bytes(inflated)

    return decode


def _read_frame(frame: _Frames, body: bytes, position: int, inflated: bytearray, limit_bytes: int) -> int:
    """Read a frame; return where the next one begins. In steps: a decoder copies what it leaves over, a lot where
    frames are many.
    """
    while not frame.eof and len(inflated) <= limit_bytes:
        step = body[position : position + _STEP_BYTES]
        if not step:
            raise EOFError
        inflated += frame.decompress(step, limit_bytes + 1 - len(inflated))
        position += len(step) - len(frame.unused_data)
    return position


def _open_gzip(_start: bytes) -> _Frames:
    return zlib.decompressobj(31)


def _open_deflate(start: bytes) -> _Frames:
    # RFC 1950: the first two bytes of a zlib stream are a multiple of 31, the method (low four bits) is 8.
    is_zlib = len(start) > 1 and start[0] & 15 == 8 and (start[0] << 8 | start[1]) % 31 == 0
    return zlib.decompressobj(15 if is_zlib else -15)


def _open_zstd(_start: bytes) -> _Frames:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    frame: _Frames = zstd.ZstdDecompressor(options=options)
    return frame


def _decode_brotli(body: bytes, limit_bytes: int) -> bytes:
    decoder = brotli.Decompressor()
    inflated = bytearray(decoder.process(body, output_buffer_limit=_STEP_BYTES))
    while not decoder.is_finished() and len(inflated) <= limit_bytes:
        part = decoder.process(b"", output_buffer_limit=_STEP_BYTES)
        if not part:
            raise EOFError
        inflated += part
    return bytes(inflated)


_DECODERS: Final[dict[bytes, Callable[[bytes, int], bytes]]] = {
    b"gzip": _frames(_open_gzip),
    b"x-gzip": _frames(_open_gzip),
    b"deflate": _frames(_open_deflate),
    b"br": _decode_brotli,
    b"zstd": _frames(_open_zstd),
}
