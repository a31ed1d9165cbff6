"""Ids of events this process has published lately, with their persons. Pure.

An id names one event of its app. The stream finds repeats among the events of one person, and of persons that become
one. A browser and a backend that report one order under one id may never be known to be the same person: the second
sending is then found here, if it comes to the same process while the id is remembered, and is not published.

An event with both ids is published in any case, for it says whose the anonymous id is. What is forgotten here (when ids
are many, after seven days, at a restart) goes the stream's way, so nothing is lost by forgetting.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.events import DUPLICATE_WINDOW_DAYS, AcceptedEvent
from services.gateway.judge import Accepted, Duplicate, Outcome

CAPACITY: Final = 200_000
"""Maximum number of ids remembered: about 20 MB."""
_GENERATION_US: Final = DUPLICATE_WINDOW_DAYS * 86_400_000_000 // 2


class SentIds:
    """Cache of published ids in two generations of half the capacity, as in `KnownLinks`. Ids and persons are known by
    their hashes: that an event is taken for another's repeat by chance is as likely as one in 2**64 / capacity.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._generation_size = max(1, capacity // 2)
        self._young: dict[int, int] = {}
        """Hash of app and event id → hash of the person's id; 0: of nobody."""
        self._old: dict[int, int] = {}
        self._since_us = 0
        """Time when the young generation began."""

    def has_anothers(self, events: Sequence[AcceptedEvent]) -> bool:
        """Tell whether any of these events, of one app, has the id of an event published for another person.

        An event with both ids says whose the anonymous one is, and is nobody else's.
        """
        keys = _keys(events)
        if self._young.keys().isdisjoint(keys) and self._old.keys().isdisjoint(keys):
            return False
        known = (self._young.get(key, 0) or self._old.get(key, 0) for key in keys)
        return any(
            person and person != _person(event) and bool(event.user_id) != bool(event.anonymous_id)
            for person, event in zip(known, events, strict=True)
        )

    def is_anothers(self, event: AcceptedEvent) -> bool:
        return self.has_anothers((event,))

    def judge(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Return the same outcomes, with repeats of another person's events as duplicates."""
        return [
            Duplicate(outcome.index, outcome.event.event_id)
            if isinstance(outcome, Accepted) and self.is_anothers(outcome.event)
            else outcome
            for outcome in outcomes
        ]

    def published(self, events: Sequence[AcceptedEvent]) -> None:
        """Note that these events, of one app, are acknowledged."""
        received_us = events[0].received_us
        if len(self._young) >= self._generation_size or received_us - self._since_us > _GENERATION_US:
            self._old, self._young, self._since_us = self._young, {}, received_us
        self._young.update(zip(_keys(events), map(_person, events), strict=True))


def _keys(events: Sequence[AcceptedEvent]) -> list[int]:
    app = hash(events[0].app_id)
    return [hash(event.event_id) ^ app for event in events]


def _person(event: AcceptedEvent) -> int:
    return hash(event.user_id or event.anonymous_id)
