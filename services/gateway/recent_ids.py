"""Ids of events this process has published lately, with their persons. Pure.

An id names one event of its app. The stream finds repeats among the events of one person, and of persons that become
one. A browser and a backend that report one order under one id may never be known to be the same person: the second
sending is then found here, if it comes to the same process while the id is remembered, and is not published.

An event with both ids is published in any case, for it says whose the anonymous id is. What is forgotten here (when ids
are many, after seven days, at a restart) goes the stream's way, so nothing is lost by forgetting.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.events import DUPLICATE_WINDOW_DAYS, AcceptedEvent
from services.gateway.outcomes import Accepted, Duplicate, Outcome

CAPACITY: Final = 1 << 18
"""Places for ids: 5 MB."""
_DAY_US: Final = 86_400_000_000
Integers = NDArray[np.int64]


class SentIds:
    """Table of published ids. Each has one place, given by its hash, and is forgotten when another takes it.

    Ids and persons are known by their hashes: that an event is taken for another's repeat by chance is as likely as one
    in 2**64 / capacity. A table of numbers, looked at for a whole batch at once, takes a quarter of the time that a
    dictionary of as many ids does (0.25 µs an event).
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        """`capacity`: a power of two."""
        self._last_place = capacity - 1
        self._ids: Integers = np.zeros(capacity, np.int64)
        """Hash of app and event id."""
        self._persons: Integers = np.zeros(capacity, np.int64)
        """Hash of the person's id; 0: of nobody."""
        self._days = np.zeros(capacity, np.int32)
        """Day of the receipt."""

    def has_anothers(self, events: Sequence[AcceptedEvent]) -> bool:
        """Tell whether any of these events, of one app, has the id of an event published for another person.

        An event with both ids says whose the anonymous one is, and is nobody else's.
        """
        ids = _ids(events)
        places = ids & self._last_place
        known = np.flatnonzero(self._ids[places] == ids)
        if not known.size:
            return False
        differ = known[self._persons[places[known]] != _persons(events)[known]]
        return any(self.is_anothers(events[index]) for index in differ.tolist())

    def is_anothers(self, event: AcceptedEvent) -> bool:
        key = _id(event)
        place = key & self._last_place
        if self._ids.item(place) != key or bool(event.user_id) == bool(event.anonymous_id):
            return False
        is_recent = event.received_us // _DAY_US - self._days.item(place) <= DUPLICATE_WINDOW_DAYS
        return is_recent and self._persons.item(place) not in (0, _person(event))

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
        if len(events) == 1:
            self._published_one(events[0])
            return
        ids = _ids(events)
        places = ids & self._last_place
        self._ids[places] = ids
        self._persons[places] = _persons(events)
        self._days[places] = events[0].received_us // _DAY_US

    def _published_one(self, event: AcceptedEvent) -> None:
        key = _id(event)
        place = key & self._last_place
        self._ids[place] = key
        self._persons[place] = _person(event)
        self._days[place] = event.received_us // _DAY_US


def _id(event: AcceptedEvent) -> int:
    return hash(event.event_id) ^ hash(event.app_id)


def _person(event: AcceptedEvent) -> int:
    return hash(event.user_id or event.anonymous_id)


def _ids(events: Sequence[AcceptedEvent]) -> Integers:
    hashes = np.fromiter([hash(event.event_id) for event in events], np.int64, len(events))
    return hashes ^ np.int64(hash(events[0].app_id))


def _persons(events: Sequence[AcceptedEvent]) -> Integers:
    return np.fromiter([hash(event.user_id or event.anonymous_id) for event in events], np.int64, len(events))
