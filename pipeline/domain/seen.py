"""Which events of a person were accepted before: two parallel byte strings, no objects, so a state decodes fast.

An id is kept as a 64-bit BLAKE2b hash: among `MAX_SEEN` ids of one person two agree by chance once in 10^13.
Looking one up is a byte search (0.1 µs among 20 ids, 5 µs among 2,048), and nothing has to be built after decoding.
"""

from hashlib import blake2b
from struct import Struct
from typing import Final

from pipeline.domain.state import MAX_SEEN, MERGE_KEEP_MS, PersonState
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
    if state.seen_ids.find(mark) >= 0:
        found = _find(state.seen_ids, state.seen_times, mark, received_s)
        if found is not None:
            return found
    return _find(state.taken_ids, state.taken_times, mark, received_s) if state.taken_ids else None


def _find(ids: bytes | bytearray, times: bytes | bytearray, mark: bytes, received_s: int) -> int | None:
    at = ids.find(mark)
    while at >= 0:
        if at % _ID_BYTES == 0:
            place = at // _ID_BYTES
            timestamp_ms, then_s = _TIMES.unpack_from(times, place * _TIMES_BYTES)
            if received_s - then_s < KEEP_S:
                return int(timestamp_ms)
        at = ids.find(mark, at + 1)
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


def take(state: PersonState, ids: bytes, times: bytes) -> None:
    """Remember ids of events that an anonymous person has sent."""
    state.taken_ids = (state.taken_ids + ids)[-MAX_SEEN * _ID_BYTES :]
    state.taken_times = (state.taken_times + times)[-MAX_SEEN * _TIMES_BYTES :]


def drop_old(state: PersonState, received_s: int) -> None:
    """Ids first received 7 days before `received_s` go; order of receipt is close enough, as age is checked above.

    Those taken from anonymous ids stay longer: their repeats come by another partition, which may be behind.
    """
    count = _count_until(state.seen_times, received_s - KEEP_S)
    if count:
        _drop_first(state, count)
    if state.taken_ids:
        count = _count_until(state.taken_times, received_s - KEEP_S - MERGE_KEEP_MS // 1000)
        state.taken_ids = state.taken_ids[count * _ID_BYTES :]
        state.taken_times = state.taken_times[count * _TIMES_BYTES :]


def _count_until(times: bytes | bytearray, limit_s: int) -> int:
    """How many at the front were received at `limit_s` or before."""
    count = 0
    while count * _TIMES_BYTES < len(times) and _TIMES.unpack_from(times, count * _TIMES_BYTES)[1] <= limit_s:
        count += 1
    return count


def _drop_first(state: PersonState, count: int) -> None:
    del state.seen_ids[: count * _ID_BYTES]
    del state.seen_times[: count * _TIMES_BYTES]
