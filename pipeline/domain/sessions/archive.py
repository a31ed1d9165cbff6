"""Final sessions, kept as bytes: no event of the person's own can reach them, but another journey can.

When an anonymous journey becomes a user's, the sessions of both must be joined, cut and counted as one person's, final
or not. So what is sealed is kept for 30 days. An ordinary event only carries the bytes along. When two journeys are
united, and when an event of the anonymous id comes from a partition whose event time is further behind, the sessions
are decoded that this can change: what one page view costs must not grow with the sessions of the person it is of.

One entry per session: (start ms, end ms, length) and its segments in msgpack, deflated to two fifths (9 µs a session).
By time, so the oldest are cut off the front. The touches of archived sessions stand in `PersonState.touches` as well,
because paths need them; thawing takes them out there, and sealing puts them back.
"""

import zlib
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final, TypeAlias

import msgspec

from pipeline.domain.state import MERGE_KEEP_MS, PersonState, Segment

MAX_ARCHIVE_BYTES: Final = 32 * 1024
"""Limit on the size of an archive: some 150 sessions."""

_HEADER: Final = Struct("<qqI")
_HEADER_BYTES: Final = _HEADER.size
Span: TypeAlias = tuple[int, int]
"""First and last time of something, ms."""
EVERYTHING: Final[list[Span]] = [(0, 1 << 62)]

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


def put_away(state: PersonState, sessions: list[list[Segment]], gap_ms: int) -> None:
    """Add sessions that have become final, which are by time. At the bound, the oldest go."""
    entries = [_entry(session) for session in sessions]
    if sessions[0][-1].end_ms + gap_ms <= state.sealed_before_ms:  # it has been in the archive before
        archive = state.archive
        entries = sorted(entries + [archive[at : at + size] for at, _, _, size in _entries(archive)], key=_start_ms)
    else:
        entries.insert(0, state.archive)
    state.archive = b"".join(entries)
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


def thaw(state: PersonState, changes: Iterable[Span], gap_ms: int) -> list[list[Segment]]:
    """Turn the archived sessions that something at the times of `changes` can change into segments again, as they were
    before; return these sessions."""
    starts_ms = _reached(state, changes, gap_ms) if state.archive else None
    if not starts_ms:
        return []
    archived, kept = [], []
    for at, start_ms, _, size in _entries(state.archive):
        if start_ms in starts_ms:
            archived.append(_decode(_inflated(state.archive[at + _HEADER_BYTES : at + size])))
        else:
            kept.append(state.archive[at : at + size])
    state.archive = b"".join(kept)
    segments = [segment for session in archived for segment in session] + state.segments
    state.segments = sorted(segments, key=lambda segment: segment.start_ms)
    state.touches = [touch for touch in state.touches if touch.session_start_ms not in starts_ms]
    return archived


def _reached(state: PersonState, changes: Iterable[Span], gap_ms: int) -> set[int]:
    """Starts of the archived sessions of the chains that `changes` belong to, or join. A chain is cut into sessions as
    a whole, so all of it can change."""
    archived, change = 0, 1
    spans = [(start_ms, end_ms, archived) for _, start_ms, end_ms, _ in _entries(state.archive)]
    spans += [(start_ms, end_ms, change) for start_ms, end_ms in changes]
    spans += [(segment.start_ms, segment.end_ms, -1) for segment in state.segments]
    reached: set[int] = set()
    for chain in _chained(spans, gap_ms):
        if any(kind == change for _, _, kind in chain):
            reached.update(start_ms for start_ms, _, kind in chain if kind == archived)
    return reached


def _chained(spans: list[tuple[int, int, int]], gap_ms: int) -> list[list[tuple[int, int, int]]]:
    chains: list[list[tuple[int, int, int]]] = []
    reaches_ms = 0
    for span in sorted(spans):
        if not chains or span[0] >= reaches_ms:
            chains.append([])
        chains[-1].append(span)
        reaches_ms = max(reaches_ms, span[1] + gap_ms)
    return chains


def oldest_start_ms(state: PersonState) -> int:
    """Return the start of the oldest session in the archive, which must not be empty."""
    return _start_ms(state.archive)


def _entry(session: list[Segment]) -> bytes:
    body = _deflated(_encode(session))
    return _HEADER.pack(session[0].start_ms, session[-1].end_ms, len(body)) + body


def _start_ms(entry: bytes) -> int:
    return int(_HEADER.unpack_from(entry)[0])


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
