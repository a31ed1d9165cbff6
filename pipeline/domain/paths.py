"""The path of a conversion: the touches before it that count, as they stood at its time."""

from collections.abc import Iterable, Iterator

from pipeline.domain.path_bound import Kept
from pipeline.domain.rules import AppRules
from pipeline.domain.segments import session_touches, sessions_of
from pipeline.domain.state import PersonState, Touch
from pipeline.domain.touches import STRENGTH, place


def path_at(state: PersonState, at_ms: int, rules: AppRules) -> list[Touch]:
    """Touches at or before `at_ms`, oldest first.

    1. At most `MAX_TOUCHES` of them (see `path_bound`). First of all, because final touches are kept up to that number:
       the path then does not depend on when sessions became final. What is past its window takes no place.
    2. Those inside the window of their type; a type without a window never counts.
    3. Of one channel and campaign in one session, the strongest (see `touches`).
    """
    return next(paths_at(state, [at_ms], rules))


def paths_at(state: PersonState, times_ms: Iterable[int], rules: AppRules) -> Iterator[list[Touch]]:
    """Find the paths at several ascending times: each touch is looked at once for all of them."""
    known, count = _known(state, rules), 0
    kept, starts_ms = Kept(rules.window_ms, {}), {}
    for at_ms in times_ms:
        while count < len(known) and known[count][1].at_ms <= at_ms:
            start_ms, touch = known[count]
            starts_ms[touch.touch_id] = start_ms
            kept.add(touch)
            count += 1
        yield _strongest(_in_window(kept, at_ms, rules), starts_ms)


def _known(state: PersonState, rules: AppRules) -> list[tuple[int, Touch]]:
    """(start of its session, touch), by place."""
    known = [(touch.session_start_ms, touch) for touch in state.touches]
    for session in sessions_of(state.segments, rules.gap_ms):
        start_ms = session[0].start_ms
        known += [(start_ms, touch) for touch in session_touches(session)]
    if state.touches and state.segments and state.touches[-1].at_ms > state.segments[0].start_ms:
        known.sort(key=lambda pair: place(pair[1]))  # thawed sessions may be older than touches of sessions long gone
    return known


def _in_window(kept: Kept, at_ms: int, rules: AppRules) -> list[Touch]:
    oldest_ms = {touch_type: at_ms - window_ms for touch_type, window_ms in rules.window_ms.items()}
    never = at_ms + 1
    return [touch for touch in kept.touches.values() if touch.at_ms >= oldest_ms.get(touch.touch_type, never)]


def _strongest(touches: list[Touch], starts_ms: dict[str, int]) -> list[Touch]:
    best: dict[tuple[int, str, str], Touch] = {}
    is_in_order = True
    for touch in touches:
        key = (starts_ms[touch.touch_id], touch.channel, touch.campaign)
        rival = best.setdefault(key, touch)
        if rival is not touch and STRENGTH[touch.touch_type] < STRENGTH[rival.touch_type]:
            best[key], is_in_order = touch, False
    return list(best.values()) if is_in_order else sorted(best.values(), key=place)
