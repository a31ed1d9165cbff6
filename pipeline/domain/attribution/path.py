"""The path of a conversion: the touches before it that count, as they stood at its time."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import attrgetter

from pipeline.domain.attribution.path_limit import Kept
from pipeline.domain.rules import AppRules
from pipeline.domain.sessions.segments import session_touches, sessions_of
from pipeline.domain.state import PersonState, Touch
from pipeline.domain.touches.touch import STRENGTH, place

_at_ms, _id_of, _type_of = attrgetter("at_ms"), attrgetter("touch_id"), attrgetter("touch_type")
_channel_of, _campaign_of = attrgetter("channel"), attrgetter("campaign")


class Paths:
    """The paths of a person's conversions, as long as its touches stay as they are."""

    def __init__(self, state: PersonState, rules: AppRules) -> None:
        self._rules = rules
        self._touches, self._starts_ms = _known(state, rules)
        self._found: dict[int, list[Touch]] = {}

    def look_up(self, times_ms: Iterable[int]) -> None:
        """Find the paths at several times, in any order, which `at` then knows."""
        ascending = sorted(set(times_ms))
        self._found = dict(zip(ascending, self._find(ascending), strict=True))

    def at(self, times_ms: Iterable[int]) -> Iterator[list[Touch]]:
        """Return the paths at several ascending times, those of `look_up` or others."""
        if not self._found:
            return self._find(times_ms)
        times = list(times_ms)
        if all(map(self._found.__contains__, times)):
            return map(self._found.__getitem__, times)
        return self._find(times)

    def _find(self, times_ms: Iterable[int]) -> Iterator[list[Touch]]:
        """Find the paths at several ascending times: each touch is looked at once for all of them.

        Touches at or before the time, oldest first:

        1. At most `MAX_TOUCHES` of them (see `path_limit`). First of all, because final touches are kept up to that
           number: the path then does not depend on when sessions became final. What is past its window takes no place.
        2. Those inside the window of their type; a type without a window never counts.
        3. Of one channel and campaign in one session, the strongest (see `touches.touch`).
        """
        known, count = self._touches, 0
        kept = Kept(self._rules.window_ms, {})
        for at_ms in times_ms:
            until = bisect_right(known, at_ms, count, key=_at_ms)
            if until > count:
                kept.add(known[count:until])
                count = until
            yield self._strongest(_in_window(kept.touches, at_ms, self._rules))

    def _strongest(self, touches: list[Touch]) -> list[Touch]:
        starts_ms = map(self._starts_ms.__getitem__, map(_id_of, touches))
        keys = list(zip(starts_ms, map(_channel_of, touches), map(_campaign_of, touches), strict=True))
        if len(set(keys)) == len(keys):
            return touches
        best: dict[tuple[int, str, str], Touch] = {}
        is_in_order = True
        for key, touch in zip(keys, touches, strict=True):
            rival = best.setdefault(key, touch)
            if rival is not touch and STRENGTH[touch.touch_type] < STRENGTH[rival.touch_type]:
                best[key], is_in_order = touch, False
        return list(best.values()) if is_in_order else sorted(best.values(), key=place)


def _known(state: PersonState, rules: AppRules) -> tuple[list[Touch], dict[str, int]]:
    """Touches by place, and when the session of each began."""
    known = list(state.touches)
    starts_ms = {touch.touch_id: touch.session_start_ms for touch in known}
    for session in sessions_of(state.segments, rules.gap_ms):
        start_ms, touches = session[0].start_ms, session_touches(session)
        known += touches
        for touch in touches:
            starts_ms[touch.touch_id] = start_ms
    if state.touches and state.segments and state.touches[-1].at_ms > state.segments[0].start_ms:
        known.sort(key=place)  # thawed sessions may be older than touches of sessions long gone
    if len(starts_ms) < len(known):  # an event sent again after a merge, when its id was no longer known
        known = list({touch.touch_id: touch for touch in known}.values())
    return known, starts_ms


def _in_window(touches: Iterable[Touch], at_ms: int, rules: AppRules) -> list[Touch]:
    found = list(touches)
    shortest_ms = min((rules.window_ms.get(touch_type, -1) for touch_type in set(map(_type_of, found))), default=0)
    if not found or at_ms - found[0].at_ms <= shortest_ms:
        return found
    oldest_ms = {touch_type: at_ms - window_ms for touch_type, window_ms in rules.window_ms.items()}
    never = at_ms + 1
    return [touch for touch in found if touch.at_ms >= oldest_ms.get(touch.touch_type, never)]
