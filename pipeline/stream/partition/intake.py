"""Intake of messages into the open group, slice by slice, as far as there is room. Pure."""

from typing import Final

from pipeline.stream.decode import DecodedEvents
from pipeline.stream.identity.messages import DecodedPeople, PeopleQueue, app_of, carried_bytes, person_of
from pipeline.stream.partition.open_group import OpenGroup
from pipeline.stream.partition.persons import SEPARATOR
from pipeline.stream.partition.steps import EventStep, PeopleStep
from schemas.persons import person_key

_SLICE: Final = 512


class EventIntake:
    """Position in `events`, and what moves it."""

    def __init__(self, next_offset: int, next_index: int) -> None:
        self.next_offset = next_offset
        """The source message to apply next; everything before it is applied."""
        self.next_index = next_index
        """Lines of that message already applied."""
        self._rejects_taken_of = -1

    def align(self, begin: int, end: int) -> None:
        """Go on inside what the topic holds."""
        aligned = min(max(self.next_offset, begin), end)
        if aligned != self.next_offset:
            self.next_offset, self.next_index = aligned, 0

    def apply(self, decoded: DecodedEvents, group: OpenGroup) -> bool:
        """Apply what fits. False if some is left: call again with the same message and the next group."""
        offset = decoded.place.offset
        start = decoded.position_of(self.next_index) if offset == self.next_offset else 0
        if not start and self._rejects_taken_of != offset:
            group.unreadable.extend(decoded.rejected)
            self._rejects_taken_of = offset
        group.has_moved = True
        while start < len(decoded.records):
            count = _apply_events(decoded, start, group)
            if not count:
                self.next_offset, self.next_index = offset, decoded.indexes[start]
                return False
            start += count
        self.next_offset, self.next_index = offset + 1, 0
        return True


def _apply_events(decoded: DecodedEvents, start: int, group: OpenGroup) -> int:
    """Apply one slice, or as much of it as fits; returns how many events."""
    events = decoded.records[start : start + _SLICE]
    persons = [person_key(event.user_id, event.anonymous_id, event.event_id) for event in events]
    keys = [event.app_id + SEPARATOR + person for event, person in zip(events, persons, strict=True)]
    group.persons.states.fetch(keys)
    count = group.make_room(keys, decoded.size_bytes // len(decoded.records))
    if count:
        group.do(EventStep(decoded, start, start + count, keys[:count], persons[:count]))
        group.events += count
    return count


def apply_people(queue: PeopleQueue, group: OpenGroup) -> None:
    """Apply the records whose turn it is, as many as fit."""
    while (message := queue.due()) is not None:
        group.has_moved = True
        start = queue.start_of(message)
        while start < len(message.records):
            count = _apply_records(message, start, group)
            if not count:
                queue.stop_at(message, start)
                return
            start += count
        group.unreadable.extend(message.rejected)
        queue.finish(message)


def _apply_records(message: DecodedPeople, start: int, group: OpenGroup) -> int:
    """One slice, or as much of it as fits; returns how many records. What carries states is a slice of its own."""
    records = message.records[start : start + _SLICE]
    carriers = [position for position, record in enumerate(records) if carried_bytes(record)]
    records = records[: max(1, carriers[0]) if carriers else len(records)]
    bytes_each = carried_bytes(records[0]) or message.size_bytes // len(message.records)
    keys = [app_of(record) + SEPARATOR + person_of(record) for record in records]
    group.persons.states.fetch(keys)
    count = group.make_room(keys, bytes_each)
    if count:
        group.do(PeopleStep(message, start, start + count, keys[:count]))
    return count
