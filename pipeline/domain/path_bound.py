"""Bound of a path: at most `MAX_TOUCHES` touches, as they come one after the other.

When there would be one more, those past their window go first. Then one goes, the oldest of the first kind there is:

1. a direct visit after another one,
2. a touch of a contact (type, channel and campaign) that is there already,
3. another touch that is no click,
4. a click.

The first touch, the first click and the newest touch stay. What goes depends on the touches alone, not on when sessions
become final: the touches that are left, and those after them, lead to what all of them lead to.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Final

from pipeline.domain.state import MAX_TOUCHES, Touch
from pipeline.domain.touches import CLICK, contact, is_direct

REPEATED_DIRECT: Final = "repeated_direct"
REPEATED_CONTACT: Final = "repeated_contact"
TOO_MANY: Final = "too_many"
_WORDS: Final = (REPEATED_DIRECT, REPEATED_CONTACT, TOO_MANY, TOO_MANY)


def bounded(
    touches: Sequence[Touch], window_ms: Mapping[str, int], dropped: dict[str, str] | None = None
) -> Sequence[Touch]:
    """`touches` by place. `dropped`: gets the ids of those that went inside their windows, with the reason."""
    if len(touches) <= MAX_TOUCHES:
        return touches
    kept = Kept(window_ms, {} if dropped is None else dropped)
    for touch in touches:
        kept.add(touch)
    return list(kept.touches.values())


class Kept:
    """The touches that are kept of those added so far, by place, and once there were more, in what order they would go:
    a step then takes the logarithm of their number."""

    def __init__(self, window_ms: Mapping[str, int], dropped: dict[str, str]) -> None:
        self.window_ms = window_ms
        self.dropped = dropped
        self.touches: dict[str, Touch] = {}
        self.is_ranked = False
        """There have been more than can be kept."""
        self.kinds: dict[str, int] = {}
        self.of_contact: dict[tuple[str, str, str], deque[Touch]] = {}
        self.of_type: dict[str, deque[Touch]] = {CLICK: deque()}
        """Touches by type; may begin with some that are gone."""
        self.of_kind: tuple[list[tuple[int, str]], ...] = ([], [], [], [])
        """Heaps. An entry whose touch is gone or of another kind by now says nothing."""

    def add(self, touch: Touch) -> None:
        """Touches come by place."""
        self.touches[touch.touch_id] = touch
        if self.is_ranked:
            self._enter(touch)
        elif len(self.touches) > MAX_TOUCHES:
            self.is_ranked = True
            for each in self.touches.values():
                self._enter(each)
        if len(self.touches) > MAX_TOUCHES:
            self._expire(touch.at_ms)
        if len(self.touches) > MAX_TOUCHES:
            self._drop_one(touch)

    def _enter(self, touch: Touch) -> None:
        same = self.of_contact.setdefault(contact(touch), deque())
        same.append(touch)
        self.of_type.setdefault(touch.touch_type, deque()).append(touch)
        if len(same) > 1:
            self._rank(touch, 0 if is_direct(touch) else 1)
        else:
            self._rank(touch, 3 if touch.touch_type == CLICK else 2)

    def _rank(self, touch: Touch, kind: int) -> None:
        self.kinds[touch.touch_id] = kind
        heappush(self.of_kind[kind], (touch.at_ms, touch.touch_id))

    def _expire(self, now_ms: int) -> None:
        for touch_type, waiting in self.of_type.items():
            oldest_ms = now_ms - self.window_ms.get(touch_type, -1)
            while waiting and (waiting[0].touch_id not in self.touches or waiting[0].at_ms < oldest_ms):
                touch = waiting.popleft()
                if touch.touch_id in self.touches:
                    self._remove(touch)

    def _remove(self, touch: Touch) -> None:
        """The next of its contact is then the first."""
        del self.touches[touch.touch_id], self.kinds[touch.touch_id]
        same = self.of_contact[contact(touch)]
        is_first = same[0] is touch
        same.remove(touch)
        if is_first and same:
            self._rank(same[0], 3 if touch.touch_type == CLICK else 2)
        elif not same:
            del self.of_contact[contact(touch)]

    def _drop_one(self, newest: Touch) -> None:
        first_click = next((touch.touch_id for touch in self.of_type[CLICK] if touch.touch_id in self.touches), "")
        staying = (next(iter(self.touches)), first_click, newest.touch_id)
        for kind, heap in enumerate(self.of_kind):
            found = self._oldest(heap, kind, staying)
            if found is not None:
                self.dropped[found.touch_id] = _WORDS[kind]
                self._remove(found)
                return

    def _oldest(self, heap: list[tuple[int, str]], kind: int, staying: tuple[str, ...]) -> Touch | None:
        passed, found = [], None
        while heap and found is None:
            entry = heappop(heap)
            if self.kinds.get(entry[1]) == kind:
                if entry[1] in staying:
                    passed.append(entry)
                else:
                    found = self.touches[entry[1]]
        for entry in passed:
            heappush(heap, entry)
        return found
