"""The path of a conversion: the touches before it that count, as they stood at its time."""

from pipeline.domain.path_bound import bounded
from pipeline.domain.rules import AppRules
from pipeline.domain.segments import session_touches, sessions_of
from pipeline.domain.state import MAX_TOUCHES, PersonState, Touch
from pipeline.domain.touches import STRENGTH, place


def path_at(state: PersonState, at_ms: int, rules: AppRules) -> list[Touch]:
    """Touches at or before `at_ms`, oldest first.

    1. At most `MAX_TOUCHES` of them (see `path_bound`). First of all, because final touches are kept up to that number:
       the path then does not depend on when sessions became final. What is past its window takes no place.
    2. Those inside the window of their type; a type without a window never counts.
    3. Of one channel and campaign in one session, the strongest (see `touches`).
    """
    known = [(touch.session_start_ms, touch) for touch in state.touches if touch.at_ms <= at_ms]
    for session in sessions_of(state.segments, rules.gap_ms):
        start_ms = session[0].start_ms
        if start_ms <= at_ms:
            known += [(start_ms, touch) for touch in session_touches(session) if touch.at_ms <= at_ms]
    if state.touches and state.segments and state.touches[-1].at_ms > state.segments[0].start_ms:
        known.sort(key=lambda pair: place(pair[1]))  # thawed sessions may be older than touches of sessions long gone
    window_ms = rules.window_ms
    if len(known) > MAX_TOUCHES:
        kept = {id(touch) for touch in bounded([touch for _, touch in known], window_ms)}
        known = [pair for pair in known if id(pair[1]) in kept]
    counted = [pair for pair in known if at_ms - pair[1].at_ms <= window_ms.get(pair[1].touch_type, -1)]
    return _strongest(counted) if len(counted) > 1 else [touch for _, touch in counted]


def _strongest(known: list[tuple[int, Touch]]) -> list[Touch]:
    best: dict[tuple[int, str, str], Touch] = {}
    for start_ms, touch in known:
        key = (start_ms, touch.channel, touch.campaign)
        rival = best.get(key)
        if rival is None or STRENGTH[touch.touch_type] < STRENGTH[rival.touch_type]:
            best[key] = touch
    return sorted(best.values(), key=place)
