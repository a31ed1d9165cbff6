"""Messages of `people` taken apart, and the order in which they get their turn. Pure.

Events of a partition come in the order of their log, records of `people` by another log; which of the two came first
must not be decided anew after a crash, for rows that went out before it would then be wrong. So the order is committed
before it is acted upon:

- The marker of a group names the end of the messages that the NEXT group applies at its very start, before any event.
  They were here when the group was closed, so nobody waits for them, and under load the marker is written anyway.
- After a restart these come first of all. What else the worker that ended had begun can only have been events, so no
  more of `people` is decided on until all events are applied that were in the topic at the restart.

Journeys and forwarded events are written by the stream itself. A stream that begins without any state, over topics that
were processed before, writes them all again: those of its former life (`derived_from`) are left aside.
"""

from collections import deque
from dataclasses import replace
from typing import Final, TypeAlias

from pipeline.stream.decode import MAX_TIME_MS, Decoded, Lines, Place, reject_line
from schemas.errors import ErrorCode
from schemas.facts import RejectedRow
from schemas.people import (
    Forwarded,
    Journey,
    Link,
    OrderClosed,
    OrderCounted,
    OrderRefund,
    PeopleRecord,
    decode_people,
    decode_people_line,
    encode_people,
    order_key,
)
from schemas.persons import ANONYMOUS, USER

HELD_BYTES: Final = 16 * 1024 * 1024
"""A partition that holds this much asks for no more, until some of it had its turn."""


DecodedPeople: TypeAlias = Decoded[PeopleRecord]


def app_ids_of(message: DecodedPeople) -> set[str]:
    return {app_of(record) for record in message.records}


def links_only(message: DecodedPeople) -> DecodedPeople:
    kept = [position for position, record in enumerate(message.records) if isinstance(record, Link)]
    records, indexes = [message.records[at] for at in kept], [message.indexes[at] for at in kept]
    return replace(message, records=records, indexes=indexes, rejected=())


def app_of(record: PeopleRecord) -> str:
    return record.event.app_id if isinstance(record, Forwarded) else record.app_id


def person_of(record: PeopleRecord) -> str:
    """The key of the person, or order, whose state the record is for."""
    if isinstance(record, Link):
        return ANONYMOUS + record.anonymous_id
    if isinstance(record, Journey | Forwarded):
        return USER + record.user_id
    return (isinstance(record, OrderRefund) and record.person) or order_key(record.order_id)


def carried_bytes(record: PeopleRecord) -> int:
    """The size of the states a record carries from one place to another; 0: it carries none."""
    if isinstance(record, Journey):
        return len(record.state)
    return len(record.conversions) if isinstance(record, OrderClosed) else 0


def reject_record(place: Place, index: int, record: PeopleRecord, reason: str) -> RejectedRow:
    """A well-formed record that the domain could not take."""
    row = reject_line(place, index, encode_people([record]), reason)
    row.app_id, row.code = app_of(record), ErrorCode.SERVER_ERROR.value
    return row


def _fault_of(record: PeopleRecord) -> str:
    """Return why a record that can be read is of no use; empty if it is."""
    if not all(_ids_of(record)):
        return "an id is empty"
    is_in_time = all(0 <= time_ms <= MAX_TIME_MS for time_ms in _times_of(record))
    return "" if is_in_time else "a time is before 1970 or after 9999"


def _ids_of(record: PeopleRecord) -> tuple[str, ...]:
    match record:
        case Forwarded():
            return record.event.app_id, record.user_id
        case Link() | Journey():
            return record.app_id, record.user_id, record.anonymous_id
        case OrderCounted() | OrderClosed():
            return record.app_id, record.order_id, record.person
        case OrderRefund():
            return record.app_id, record.order_id, record.event_id


def _times_of(record: PeopleRecord) -> tuple[int, ...]:
    """Return the times in milliseconds."""
    match record:
        case Forwarded():
            return record.event.timestamp_ms, record.event.received_us // 1000
        case Link():
            return record.timestamp_ms, record.received_us // 1000
        case OrderCounted() | OrderRefund():
            return record.at_ms, record.received_s * 1000
        case OrderClosed():
            return (record.received_s * 1000,)
        case Journey():
            return ()


decode_message: Final = Lines[PeopleRecord](decode_people, decode_people_line, _fault_of).decode
"""Return the records of a message of `people`, and a reject for every line that is none."""


class PeopleQueue:
    """The messages of one partition between their arrival and their turn."""

    def __init__(self, next_offset: int = 0, next_index: int = 0, until: int = 0, derived_from: int = 0) -> None:
        self.next_offset = next_offset
        """The message to apply next; everything before it is applied."""
        self.next_index = next_index
        """Lines of that message already applied."""
        self.until = until
        """Decided: messages before this offset have their turn before any further event."""
        self.derived_from = derived_from
        """Journeys and forwarded events before this offset are of a former life of the stream."""
        self.waits_for = 0
        """Offset of `events` up to which events must be applied before anything more is decided."""
        self._held: deque[DecodedPeople] = deque()
        self._held_bytes = 0

    def align(self, begin: int, end: int) -> None:
        """Go on inside what the topic holds."""
        if self._held:
            return
        aligned = min(max(self.next_offset, begin), end)
        if aligned != self.next_offset:
            self.next_offset, self.next_index = aligned, 0
        self.until, self.derived_from = min(self.until, end), min(self.derived_from, end)

    @property
    def next_to_receive(self) -> int:
        return self._held[-1].place.offset + 1 if self._held else self.next_offset

    @property
    def has_room(self) -> bool:
        return self._held_bytes < HELD_BYTES

    def add(self, message: DecodedPeople) -> None:
        """Messages come in order; one that was added before is left aside."""
        offset = message.place.offset
        if offset < self.next_to_receive:
            return
        self._held.append(message if offset >= self.derived_from else links_only(message))
        self._held_bytes += message.size_bytes

    def can_decide(self, events_offset: int) -> bool:
        """`events_offset`: of the event message to apply next."""
        return bool(self._held) and self._held[-1].place.offset >= self.until and events_offset >= self.waits_for

    def decide(self, events_offset: int) -> None:
        """Decide that all that is here has its turn when the next group begins."""
        if self.can_decide(events_offset):
            self.until = self._held[-1].place.offset + 1

    @property
    def is_due(self) -> bool:
        return bool(self._held) and self._held[0].place.offset < self.until

    def due(self) -> DecodedPeople | None:
        """The message whose turn it is."""
        return self._held[0] if self.is_due else None

    def start_of(self, message: DecodedPeople) -> int:
        """Return, within `due()`, the position of the first record not applied yet."""
        return message.position_of(self.next_index) if message.place.offset == self.next_offset else 0

    def stop_at(self, message: DecodedPeople, position: int) -> None:
        """Stop within `due()`: the records before `position` are applied, the rest is for the next group."""
        self.next_offset, self.next_index = message.place.offset, message.indexes[position]

    def finish(self, message: DecodedPeople) -> None:
        """Note that `due()` is applied."""
        self._held.popleft()
        self._held_bytes -= message.size_bytes
        self.next_offset, self.next_index = message.place.offset + 1, 0
