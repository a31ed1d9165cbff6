"""Next wakeup of each stored person: eight bytes beside the state. Pure.

They follow from the state and from what its app's rules say about time, and they are written with the state. So a
worker that starts need not decode the state of everybody it has ever seen. Where they were not written (the state comes
from the changelog, or from a version that had none of this), or the rules are others by now, the state is looked at.
"""

from collections.abc import Sequence
from functools import lru_cache  # noqa: TID251 of numbers
from itertools import chain
from struct import Struct
from typing import Final
from zlib import crc32

from pipeline.domain.apply import has_unpublished, next_timer_ms, owes_rows
from pipeline.domain.rules import TIMER_STEP_MS, AppRules
from pipeline.domain.state import PersonState

OWES_ROWS: Final = 0
"""Instead of a minute: some session changed since sessions were last written."""
OWES_CREDITS: Final = 1
"""Rows of conversions are owed, and perhaps of sessions."""
FIRST_MINUTE: Final = 2
NEVER: Final = 2**32 - 1
"""Instead of a minute: nothing is to be done before the next event."""
UNKNOWN: Final = bytes(8)

_FORMULA: Final = 3
"""To be raised with every change of what `next_timer_ms` answers."""
_LAYOUT: Final = Struct("<II")
"""The minute, and for which rules it was worked out."""


def wakeup_of(state: PersonState, rules: AppRules) -> bytes:
    """Return the wakeup that is kept beside the state."""
    minute = owing_minute(state)
    return timed_wakeup(next_timer_ms(state, rules), rules) if minute is None else wakeup_at(minute, rules)


def owing_minute(state: PersonState) -> int | None:
    """Return what stands instead of a minute of a person whose rows are owed; None: none are."""
    if owes_rows(state):
        return OWES_CREDITS
    return OWES_ROWS if has_unpublished(state) else None


def wakeup_at(minute: int, rules: AppRules) -> bytes:
    """Return the wakeup at `minute`, or at what stands instead of it."""
    return _LAYOUT.pack(minute, timing_of(rules))


def timed_wakeup(time_ms: int | None, rules: AppRules) -> bytes:
    """`time_ms`: what `next_timer_ms` says."""
    # Too early does no harm: whoever is woken before it is time is asked again.
    minute = NEVER if time_ms is None else min(max(minute_of(time_ms), FIRST_MINUTE), NEVER - 1)
    return wakeup_at(minute, rules)


def minute_of(time_ms: int) -> int:
    """The first full minute at or after it."""
    return -(-time_ms // TIMER_STEP_MS)


def timing_of(rules: AppRules) -> int:
    """Names everything in the rules that `next_timer_ms` depends on; never 0, which stands in `UNKNOWN`."""
    return _timing(rules.gap_ms, rules.lateness_ms, rules.max_window_ms, rules.history_ms)


@lru_cache(maxsize=10_000)
def _timing(*settings: int) -> int:
    return crc32(repr((_FORMULA, settings)).encode()) or 1


def read_wakeups(wakeups: Sequence[bytes]) -> tuple[Sequence[int], Sequence[int]]:
    """The minutes, and what `timing_of` the rules was when they were worked out."""
    numbers = tuple(chain.from_iterable(map(_LAYOUT.unpack, wakeups)))
    return numbers[0::2], numbers[1::2]
