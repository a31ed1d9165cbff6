"""Final sessions, kept as bytes: no event of the person's own can reach them, but another journey can.

When an anonymous journey becomes a user's, the sessions of both must be joined, cut and counted as one person's, final
or not. So what is sealed is kept for 30 days. An ordinary event only carries the bytes along; they are decoded when two
journeys are united, and when an event of the anonymous id comes from a partition whose event time is further behind.

One entry per session: (start ms, end ms, length) and its segments in msgpack, deflated to two fifths (9 µs a session).
By time, so the oldest are cut off the front. The touches of archived sessions stand in `PersonState.touches` as well,
because paths need them; thawing takes them out there, and sealing puts them back.
"""

import zlib
from collections.abc import Iterator
from struct import Struct
from typing import Final

import msgspec

from pipeline.domain.state import MERGE_KEEP_MS, PersonState, Segment

MAX_ARCHIVE_BYTES: Final = 32 * 1024
"""Limit on the size of an archive: some 150 sessions."""

_HEADER: Final = Struct("<qqI")
_HEADER_BYTES: Final = _HEADER.size
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Segment]).decode
_WINDOW_BITS: Final = -10
"""Raw deflate with a window of 1 KiB: setting up a larger one takes longer than compressing."""
_DICTIONARY: Final = (
    b"https://www.https://m.&gclid=&utm_term=&utm_content=?utm_source=&utm_source=&utm_medium=&utm_campaign=.html"
    b"\xaaimpression\xa4view\xa5click\xa5visit\xa8referral\xa7display\xa4feed\xa5email\xabpaid_search"
    b"\xb0organic_search\xaeorganic_social\xa6direct\xa6direct\xa4none\xa0\x00\x00\x91\xdc\x00\x11\xcf\x00\x00\x01"
)
"""Compression dictionary of common session data. It never changes: archives made with it can be read with no other."""


def put_away(state: PersonState, sessions: list[list[Segment]]) -> None:
    """Append final sessions, which are by time and after all that is there. At the bound, the oldest go."""
    parts = [state.archive]
    for session in sessions:
        body = _deflated(_encode(session))
        parts += (_HEADER.pack(session[0].start_ms, session[-1].end_ms, len(body)), body)
    state.archive = b"".join(parts)
    _drop_front(state, len(state.archive) - MAX_ARCHIVE_BYTES)


def trim(state: PersonState, reachable_ms: int) -> None:
    """Sessions that ended 30 days before what an event can reach go."""
    oldest_ms = reachable_ms - MERGE_KEEP_MS
    if not state.archive or _HEADER.unpack_from(state.archive)[1] >= oldest_ms:
        return
    excess = 0
    for at, _, end_ms, size in _entries(state.archive):
        if end_ms >= oldest_ms:
            break
        excess = at + size
    _drop_front(state, excess)


def thaw(state: PersonState) -> list[list[Segment]]:
    """Turn all archived sessions into segments again, as they were before; return these sessions."""
    archived = []
    starts_ms = set()
    for at, start_ms, _, size in _entries(state.archive):
        starts_ms.add(start_ms)
        archived.append(_decode(_inflated(state.archive[at + _HEADER_BYTES : at + size])))
    if archived:
        state.archive = b""
        state.segments = [segment for session in archived for segment in session] + state.segments
        state.touches = [touch for touch in state.touches if touch.session_start_ms not in starts_ms]
    return archived


def oldest_start_ms(state: PersonState) -> int | None:
    """None: nothing is archived."""
    return int(_HEADER.unpack_from(state.archive)[0]) if state.archive else None


def _deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS, 5, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    return deflate.compress(data) + deflate.flush()


def _inflated(data: bytes) -> bytes:
    return zlib.decompressobj(_WINDOW_BITS, _DICTIONARY).decompress(data)


def _entries(archive: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(where it begins, start ms, end ms, bytes in all)"""
    at = 0
    while at < len(archive):
        start_ms, end_ms, length = _HEADER.unpack_from(archive, at)
        yield at, start_ms, end_ms, _HEADER_BYTES + length
        at += _HEADER_BYTES + length


def _drop_front(state: PersonState, excess: int) -> None:
    """Whole entries, at least `excess` bytes of them."""
    cut = 0
    for at, _, _, size in _entries(state.archive):
        if cut >= excess:
            break
        cut = at + size
    if cut:
        state.archive = state.archive[cut:]
