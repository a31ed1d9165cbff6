"""Pairs of anonymous id and user that this process has already sent to the stream. Pure.

The stream learns from `people` that two ids are one person's. A pair is sent with the first event that carries it, and
the event's answer waits for it; after its acknowledgement the pair is remembered and not sent again on the same day.
Repeats say nothing new, so it costs nothing but a line to forget one: when there are many, after a restart, daily (the
log must hold what is still used, and the stream learns that it is).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.events import AcceptedEvent
from schemas.people import Link

CAPACITY: Final = 200_000
"""Maximum number of pairs remembered: about 20 MB."""
_DAY_US: Final = 86_400_000_000


class KnownLinks:
    """Cache of pairs that drops the least recently used first, in a cheap approximation: two generations of half the
    capacity.

    A pair is known by its hash. That two of `capacity` pairs share one, so that a link is sent a day late, is as likely
    as one in 2**64 / capacity.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._generation_size = max(1, capacity // 2)
        self._young: dict[int, int] = {}
        """Hash of the pair → the day it was sent."""
        self._old: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def unknown(self, events: Iterable[AcceptedEvent]) -> Sequence[Link]:
        """Return the links to be sent with these events, each pair once."""
        found: dict[int, Link] = {}
        for event in events:
            if event.user_id and event.anonymous_id:
                key = hash((event.app_id, event.anonymous_id, event.user_id))
                if self._day_of(key) != event.received_us // _DAY_US and key not in found:
                    found[key] = _link(event)
        return tuple(found.values()) if found else ()

    def acknowledged(self, links: Iterable[Link]) -> None:
        for link in links:
            key = hash((link.app_id, link.anonymous_id, link.user_id))
            self._keep(key, link.received_us // _DAY_US)

    def _day_of(self, key: int) -> int:
        day = self._young.get(key)
        if day is not None:
            return day
        day = self._old.pop(key, -1)
        if day >= 0:
            self._keep(key, day)
        return day

    def _keep(self, key: int, day: int) -> None:
        self._young[key] = day
        if len(self._young) >= self._generation_size:
            self._old, self._young = self._young, {}


def _link(event: AcceptedEvent) -> Link:
    return Link(event.app_id, event.anonymous_id, event.user_id, event.event_id, event.timestamp_ms, event.received_us)
