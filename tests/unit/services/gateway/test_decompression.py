import contextlib
import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from random import Random

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode
from services.gateway.decompression import inflate
from services.web.errors import ApiError
from services.web.event_reasons import MAX_FRAMES

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "deflate ": raw_deflate,
    "br": lambda data: brotli.compress(data, quality=1),
    "zstd": zstd.compress,
    "identity": bytes,
}
COMPRESSED = [name for name in CODINGS if name != "identity"]
LIMIT = 100_000


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("data", [b"", b"x", b"abc" * 20_000, bytes(LIMIT)])
def test_what_was_coded_comes_back(coding: str, data: bytes) -> None:
    assert inflate(CODINGS[coding](data), coding.encode(), LIMIT) == data


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_frames_in_a_row_are_one_body(coding: str) -> None:
    code = CODINGS[coding]
    assert inflate(code(b"one ") + code(b"two"), coding.encode(), LIMIT) == b"one two"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_body_of_very_many_frames_is_refused(coding: str) -> None:
    most = CODINGS[coding](b"x") * MAX_FRAMES
    assert inflate(most, coding.encode(), LIMIT) == b"x" * MAX_FRAMES
    with pytest.raises(ApiError) as raised:
        inflate(most + CODINGS[coding](b""), coding.encode(), LIMIT)
    assert (raised.value.code, raised.value.field) == (ErrorCode.INVALID_PARAMETER, "Content-Encoding")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_frames_larger_than_a_step_follow_each_other(coding: str) -> None:
    noise = Random(1).randbytes(200_000)
    body = CODINGS[coding](noise) + CODINGS[coding](b"end")
    assert inflate(body, coding.encode(), 300_000) == noise + b"end"


@pytest.mark.parametrize("coding", COMPRESSED)
def test_one_byte_past_the_limit_is_too_large(coding: str) -> None:
    with pytest.raises(ApiError) as raised:
        inflate(CODINGS[coding](bytes(LIMIT + 1)), coding.encode(), LIMIT)
    assert raised.value.code is ErrorCode.PAYLOAD_TOO_LARGE


@pytest.mark.parametrize("coding", COMPRESSED)
def test_a_bomb_costs_no_memory(coding: str) -> None:
    bomb = CODINGS[coding](bytes(20_000_000))
    tracemalloc.start()
    with pytest.raises(ApiError) as raised:
        inflate(bomb, coding.encode(), LIMIT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert raised.value.code is ErrorCode.PAYLOAD_TOO_LARGE
    assert peak < 10 * LIMIT


def test_a_zstd_window_beyond_what_decoders_must_bear_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 27}
    engine = zstd.ZstdCompressor(options=options)
    wide = engine.compress(b"x" * 1000) + engine.flush()
    with pytest.raises(ApiError) as raised:
        inflate(wide, b"zstd", LIMIT)
    assert raised.value.code is ErrorCode.INVALID_PARAMETER


@pytest.mark.parametrize("coding", COMPRESSED)
def test_half_a_body_is_damaged(coding: str) -> None:
    whole = CODINGS[coding](bytes(range(256)) * 20)
    with pytest.raises(ApiError) as raised:
        inflate(whole[: len(whole) // 2], coding.encode(), LIMIT)
    assert (raised.value.code, raised.value.field) == (ErrorCode.INVALID_PARAMETER, "Content-Encoding")


@pytest.mark.parametrize("coding", ["compress", "gzip, br", "sdch"])
def test_other_codings_are_refused(coding: str) -> None:
    with pytest.raises(ApiError) as raised:
        inflate(b"x", coding.encode(), LIMIT)
    assert raised.value.code is ErrorCode.INVALID_PARAMETER


@given(st.sampled_from(COMPRESSED), st.binary(max_size=200))
def test_garbage_is_refused_or_inflates_within_the_limit(coding: str, body: bytes) -> None:
    with contextlib.suppress(ApiError):
        assert len(inflate(body, coding.encode(), 1000)) <= 1000
