"""Bound of a path: at most `MAX_TOUCHES` touches, as they come one after the other.

When there would be one more, those past their window go first. Then one goes, the oldest of the first kind there is:

1. a direct visit after another one,
2. a touch of a contact (type, channel and campaign) that is there already,
3. another touch that is no click,
4. a click.

The first touch, the first click and the newest touch stay. What goes depends on the touches alone, not on when sessions
become final: the touches that are left, and those after them, lead to what all of them lead to.
"""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final

from pipeline.domain.channels.tables import Channel
from pipeline.domain.state import MAX_TOUCHES, Touch
from pipeline.domain.touches.touch import CLICK, contact

REPEATED_DIRECT: Final = "repeated_direct"
REPEATED_CONTACT: Final = "repeated_contact"
TOO_MANY: Final = "too_many"
_WORDS: Final = (REPEATED_DIRECT, REPEATED_CONTACT, TOO_MANY, TOO_MANY)
_DIRECT: Final = Channel.DIRECT.value
_contact_of = attrgetter("touch_type", "channel", "campaign")
_type_of = attrgetter("touch_type")
_NEVER: Final = 1 << 62
_OTHER: Final = 2
_CLICK: Final = 3


def bounded(
    touches: Sequence[Touch], window_ms: Mapping[str, int], dropped: dict[str, str] | None = None
) -> Sequence[Touch]:
    """`touches` by place. `dropped`: gets the ids of those that went inside their windows, with the reason."""
    if len(touches) <= MAX_TOUCHES:
        return touches
    kept = Kept(window_ms, {} if dropped is None else dropped)
    kept.add(touches)
    return list(kept.touches)


class Kept:
    """The touches that are kept of those added so far.

    They have numbers by place. Up to the bound they are only counted. Once there were more, they stand in queues by
    what goes first, so that one more takes a few steps, however many there are.
    """

    def __init__(self, window_ms: Mapping[str, int], dropped: dict[str, str]) -> None:
        self._window_ms = window_ms
        self._dropped = dropped
        self._touches: dict[int, Touch] = {}
        self._count = 0
        """Touches added so far: the number of the next."""
        self._is_ranked = False
        """There have been more than can be kept."""
        self._queues: tuple[list[int], ...] = ([], [], [], [])
        """By kind, the oldest first, but for the first touch and the first click, which stay."""
        self._first = -1
        self._first_click = -1
        """-1: there is none."""
        self._of_contact: dict[tuple[str, str, str], list[int]] = {}
        self._inside_until_ms = _NEVER
        """Until this time no touch that is kept is past its window."""

    @property
    def touches(self) -> Iterable[Touch]:
        """By place."""
        return self._touches.values()

    def add(self, touches: Sequence[Touch]) -> None:
        """`touches`: by place, and after those added before."""
        room = MAX_TOUCHES - len(self._touches)
        if not self._is_ranked and len(touches) <= room:
            self._touches.update(enumerate(touches, self._count))
            self._count += len(touches)
            return
        if not self._is_ranked:
            self._rank([*self._touches.values(), *touches[:room]])
            touches = touches[room:]
        for touch in touches:
            if len(self._touches) < MAX_TOUCHES or self._has_room_for(touch):
                self._enter(touch)

    def _rank(self, touches: list[Touch]) -> None:
        """Put as many as are kept into their queues."""
        self._is_ranked = True
        self._touches, self._count = dict(enumerate(touches)), len(touches)
        for number, key in enumerate(map(_contact_of, touches)):
            self._of_contact.setdefault(key, []).append(number)
        firsts = {same[0] for same in self._of_contact.values()}
        for number in self._touches.keys() - firsts:
            self._queues[touches[number].channel != _DIRECT].append(number)
        for number in firsts:
            self._queues[_CLICK if touches[number].touch_type == CLICK else _OTHER].append(number)
        for queue in self._queues:
            queue.sort()
        self._look_who_stays()
        self._inside_until_ms = touches[0].at_ms + min(
            self._window_ms.get(name, -1) for name in set(map(_type_of, touches))
        )

    def _enter(self, touch: Touch) -> None:
        number, touch_type = self._count, touch.touch_type
        self._count += 1
        self._touches[number] = touch
        key = (touch_type, touch.channel, touch.campaign)
        same = self._of_contact.get(key)
        if same is not None:
            same.append(number)
            self._queues[touch.channel != _DIRECT].append(number)
        else:
            self._of_contact[key] = [number]
            if touch_type == CLICK and self._first_click < 0:
                self._first_click = number
            else:
                self._queues[_CLICK if touch_type == CLICK else _OTHER].append(number)
        until_ms = touch.at_ms + self._window_ms.get(touch_type, -1)
        if until_ms < self._inside_until_ms:
            self._inside_until_ms = until_ms

    def _has_room_for(self, touch: Touch) -> bool:
        """Make room; False for a touch of a type without a window, which goes at once."""
        if touch.at_ms > self._inside_until_ms:
            self._expire(touch.at_ms)
        if touch.touch_type not in self._window_ms:
            return False
        if len(self._touches) >= MAX_TOUCHES:
            for kind, queue in enumerate(self._queues):
                if queue:
                    number = queue.pop(0)
                    self._dropped[self._touches[number].touch_id] = _WORDS[kind]
                    self._remove(number, kind)
                    break
        return True

    def _remove(self, number: int, kind: int) -> None:
        """It is in no queue any more. The next of its contact is then the first."""
        touch = self._touches.pop(number)
        key = (touch.touch_type, touch.channel, touch.campaign)
        same = self._of_contact[key]
        same.remove(number)
        if not same:
            del self._of_contact[key]
        elif kind >= _OTHER:
            self._queues[touch.channel != _DIRECT].remove(same[0])
            insort(self._queues[kind], same[0])

    def _expire(self, now_ms: int) -> None:
        """Remove the touches past their window, and find the first touch and the first click again."""
        window_of = self._window_ms.get
        until_ms = {number: touch.at_ms + window_of(touch.touch_type, -1) for number, touch in self._touches.items()}
        for number, at_ms in until_ms.items():
            if at_ms < now_ms:
                self._leave_queue(number)
        self._inside_until_ms = min((until_ms[number] for number in self._touches), default=_NEVER)
        self._look_who_stays()

    def _leave_queue(self, number: int) -> None:
        touch = self._touches[number]
        is_repeat = self._of_contact[contact(touch)][0] != number
        kind = int(touch.channel != _DIRECT) if is_repeat else _CLICK if touch.touch_type == CLICK else _OTHER
        if number in (self._first, self._first_click):
            self._first = -1 if number == self._first else self._first
            self._first_click = -1 if number == self._first_click else self._first_click
        else:
            self._queues[kind].remove(number)
        self._remove(number, kind)

    def _look_who_stays(self) -> None:
        if self._first < 0 and self._touches:
            self._first = next(iter(self._touches))
            self._stay(self._first)
        if self._first_click < 0 and self._queues[_CLICK]:
            self._first_click = self._queues[_CLICK].pop(0)

    def _stay(self, number: int) -> None:
        """The first touch is the first of its contact, so it is in one of two queues, if it is not the first click."""
        for queue in self._queues[_OTHER:]:
            if number in queue:
                queue.remove(number)
