"""What is kept of a refused payload: an event whole, of anything larger or unreadable the head."""

import pytest

from schemas.events import MAX_EVENT_BYTES
from schemas.rejected_payload import HEAD_BYTES, is_cut, kept_text


def _event(size: int, text: str) -> bytes:
    room = size - len(b'{"a":""}')
    letters, rest = divmod(room, len(text.encode()))
    return ('{"a":"' + text * letters + "x" * rest + '"}').encode()


@pytest.mark.parametrize("text", ["x", "é", "中", "😀"])
@pytest.mark.parametrize("limit", [HEAD_BYTES, MAX_EVENT_BYTES])
def test_an_event_is_kept_whole_or_said_to_be_cut(text: str, limit: int) -> None:
    for size in range(limit - 8, limit + 8):
        whole = _event(size, text)
        kept = kept_text(whole)
        assert len(whole) == size
        assert is_cut(kept) == (size > MAX_EVENT_BYTES) == (kept.encode() != whole)


@pytest.mark.parametrize("payload", [b"x" * 40_000, b"\xff" * 10_000, "首".encode() * 15_000, b"\x01" * 40_000])
def test_of_what_cannot_be_sent_again_the_head_is_kept(payload: bytes) -> None:
    kept = kept_text(payload)
    assert HEAD_BYTES - 4 < len(kept.encode()) <= HEAD_BYTES
    assert is_cut(kept)


def test_what_an_earlier_version_cut_is_said_to_be_cut() -> None:
    assert is_cut(_event(20_000, "x")[:HEAD_BYTES].decode())
