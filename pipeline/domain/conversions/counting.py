"""Choose the events that count for a goal: every one, or the earliest of its session or of its person.

The earliest by (time, event id), whatever order they come in. For a session's goal each segment remembers its earliest
(`Segment.firsts`); segments never divide, so however sessions join or are cut, the earliest of a session is that of its
segments. A person's goal needs only the earliest of all: it stands in its segment and in `PersonState.firsts`, which
outlives the segment. Once that segment is final, no event can come before it any more.
"""

from collections.abc import Iterable
from typing import Final

from pipeline.domain.state import Conversion, First, PersonState
from schemas.control import Counting

_SESSION: Final = Counting.ONCE_PER_SESSION.value
_PERSON: Final = Counting.ONCE_PER_PERSON.value


def counts_once(conversion: Conversion) -> bool:
    return conversion.counting in (_SESSION, _PERSON)


def every_of(conversions: list[Conversion]) -> list[Conversion]:
    return [conversion for conversion in conversions if not counts_once(conversion)]


def candidates_of(state: PersonState, conversions: Iterable[Conversion]) -> list[First]:
    """Return the conversions of one event that may count once. Of a person's goal only one before all others can."""
    return [
        First(found.at_ms, found.event_id, found.goal, found.counting == _PERSON, found.value_minor, found.currency)
        for found in conversions
        if found.counting == _SESSION or (found.counting == _PERSON and _is_persons_first(state, found))
    ]


def _is_persons_first(state: PersonState, conversion: Conversion) -> bool:
    place = (conversion.at_ms, conversion.event_id)
    return all(goal != conversion.goal or place < (at_ms, event_id) for at_ms, event_id, goal in state.firsts)


def displace(state: PersonState, firsts: list[First]) -> list[First]:
    """The person's firsts among `firsts` take their place; returns those that stood there, gone from their segments."""
    displaced = []
    for first in firsts:
        if first.is_of_person:
            displaced += _remove(state, first.goal)
            state.firsts = [kept for kept in state.firsts if kept[2] != first.goal]
            state.firsts.append((first.at_ms, first.event_id, first.goal))
    return displaced


def unite_firsts(state: PersonState, other: PersonState) -> None:
    """Unite the firsts of two states: of a goal both have met once per person, the earlier one stays; the other leaves
    its segment.
    """
    found = {goal: (at_ms, event_id) for at_ms, event_id, goal in state.firsts}
    for at_ms, event_id, goal in other.firsts:
        known = found.setdefault(goal, (at_ms, event_id))
        if known > (at_ms, event_id):
            _remove(state, goal)
            found[goal] = (at_ms, event_id)
        elif known != (at_ms, event_id):
            _remove(other, goal)
    state.firsts = [(at_ms, event_id, goal) for goal, (at_ms, event_id) in found.items()]


def _remove(state: PersonState, goal: str) -> list[First]:
    for segment in state.segments:
        for first in segment.firsts:
            if first.is_of_person and first.goal == goal:
                segment.firsts = [kept for kept in segment.firsts if kept is not first]
                segment.version = state.version
                return [first]
    return []
