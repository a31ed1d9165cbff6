"""Which events of a person were accepted before: two parallel byte strings, no objects, so a state decodes fast.

An id is kept as a 64-bit BLAKE2b hash: among `MAX_SEEN` ids of one person two agree by chance once in 10^13.
Looking one up is a byte search (0.1 µs among 20 ids, 5 µs among 2,048), and nothing has to be built after decoding.
"""

from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct
from typing import Final

from pipeline.domain.state import MAX_SEEN, PersonState
from schemas.events import DUPLICATE_WINDOW_DAYS

_ID_BYTES: Final = 8
_TIMES: Final = Struct("<qI")  # event time ms, receipt s
_TIMES_BYTES: Final = _TIMES.size
KEEP_S: Final = DUPLICATE_WINDOW_DAYS * 24 * 3600


def fingerprint(event_id: str) -> bytes:
    return blake2b(event_id.encode(), digest_size=_ID_BYTES).digest()


def first_timestamp_ms(state: PersonState, mark: bytes, received_s: int) -> int | None:
    """The event time of the event of this id that was received before, within 7 days; None: there is none.

    Age is checked here, so results never depend on when old ids are dropped.
    """
    at = state.seen_ids.find(mark)
    while at >= 0:
        if at % _ID_BYTES == 0:
            place = at // _ID_BYTES
            timestamp_ms, then_s = _TIMES.unpack_from(state.seen_times, place * _TIMES_BYTES)
            if received_s - then_s < KEEP_S:
                return int(timestamp_ms)
        at = state.seen_ids.find(mark, at + 1)
    return None


def pack_times(timestamp_ms: int, received_s: int) -> bytes:
    """Raises struct.error on times no gateway lets through (beyond 64 bits, or received before 1970 or after 2106)."""
    return _TIMES.pack(timestamp_ms, received_s)


def remember(state: PersonState, mark: bytes, times: bytes) -> None:
    ids = state.seen_ids
    ids += mark
    state.seen_times += times
    if len(ids) > MAX_SEEN * _ID_BYTES:
        _drop_first(state, 1)


def drop_old(state: PersonState, received_s: int) -> None:
    """Ids first received 7 days before `received_s` go; order of receipt is close enough, as age is checked above."""
    times, count = state.seen_times, 0
    limit = received_s - KEEP_S
    while count * _TIMES_BYTES < len(times) and _TIMES.unpack_from(times, count * _TIMES_BYTES)[1] <= limit:
        count += 1
    if count:
        _drop_first(state, count)


def unite_seen(state: PersonState, other: PersonState) -> None:
    """By time of receipt; the newest stay."""
    if state.seen_ids and other.seen_ids:
        entries = sorted([*_entries(state), *_entries(other)], key=lambda entry: entry[0])
        state.seen_ids = bytearray().join(mark for _, mark, _ in entries)
        state.seen_times = bytearray().join(times for _, _, times in entries)
    else:
        state.seen_ids += other.seen_ids
        state.seen_times += other.seen_times
    _drop_first(state, max(0, len(state.seen_ids) // _ID_BYTES - MAX_SEEN))


def _entries(state: PersonState) -> Iterator[tuple[int, bytes, bytes]]:
    """(receipt s, id, times)"""
    ids, all_times = bytes(state.seen_ids), bytes(state.seen_times)
    for place in range(len(ids) // _ID_BYTES):
        times = all_times[place * _TIMES_BYTES : (place + 1) * _TIMES_BYTES]
        yield _TIMES.unpack(times)[1], ids[place * _ID_BYTES : (place + 1) * _ID_BYTES], times


def _drop_first(state: PersonState, count: int) -> None:
    del state.seen_ids[: count * _ID_BYTES]
    del state.seen_times[: count * _TIMES_BYTES]
