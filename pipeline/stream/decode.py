"""A packed message taken apart: the events it holds, and a reject for every line that is none. Pure.

One bad line never costs its neighbours, and nothing that arrives makes this raise.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from schemas.errors import ErrorCode
from schemas.events import StreamEvent, decode_stream_event, decode_stream_events
from schemas.facts import RejectedRow
from schemas.ids import reject_id
from schemas.rejected_payload import kept_text
from schemas.unreadable import UNREADABLE

MAX_REJECTS_PER_MESSAGE: Final = 1_000
"""Past it the rest of a message's bad lines share one reject: garbage must not grow into a flood of rows."""
MAX_TIME_MS: Final = 253_402_300_799_999
"""The end of the year 9999; times beyond it are no times, and would not fit the columns they go to."""
_NEWLINE: Final = b"\n"
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Position of a message, and when it was written (milliseconds since the epoch, by Kafka's timestamp)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    traceparent: bytes = b""
    """Step of a trace that it follows from; empty: none."""


@dataclass(frozen=True)
class Decoded(Generic[T]):
    """The records of a message. `indexes[i]` is the number of the line `records[i]` came from, ascending."""

    place: Place
    size_bytes: int
    records: Sequence[T]
    indexes: Sequence[int]
    rejected: Sequence[RejectedRow]

    def position_of(self, index: int) -> int:
        """Return the position of the first record at or after line `index`."""
        return bisect_left(self.indexes, index)


DecodedEvents: TypeAlias = Decoded[StreamEvent]


class _AppOnly(msgspec.Struct):
    app_id: str = ""


_decode_app = msgspec.json.Decoder(_AppOnly).decode


@dataclass(frozen=True)
class Lines(Generic[T]):
    """How the records of a topic are read from its messages."""

    read_all: Callable[[bytes], list[T]]
    read_one: Callable[[bytes], T]
    fault_of: Callable[[T], str]
    """Why a record that can be read is of no use; empty if it is."""

    def decode(self, value: bytes | None, place: Place) -> Decoded[T]:
        """Decode all lines at once, which is fast; if that fails, one by one. No input makes this raise."""
        if value is None:
            return Decoded(place, 0, (), (), [reject_line(place, 0, b"", "the message has no value")])
        try:
            records = self.read_all(value)
        except UNREADABLE:
            return _decode_each(value, place, self._decode_line)
        if any(map(self.fault_of, records)):
            return _decode_each(value, place, self._decode_line)
        return Decoded(place, len(value), records, range(len(records)), ())

    def _decode_line(self, line: bytes) -> T | str:
        """Return the record, or why there is none."""
        try:
            record = self.read_one(line)
        except UNREADABLE as error:
            return str(error)
        return self.fault_of(record) or record


def _fault_of(event: StreamEvent) -> str:
    is_in_time = 0 <= event.timestamp_ms <= MAX_TIME_MS and 0 <= event.received_us <= MAX_TIME_MS * 1000
    return "" if is_in_time else "a time is before 1970 or after 9999"


decode_message: Final = Lines(decode_stream_events, decode_stream_event, _fault_of).decode
"""Return the events of a message of `events`, and a reject for every line that is none."""


def _decode_each(value: bytes, place: Place, decode_line: Callable[[bytes], T | str]) -> Decoded[T]:
    """Decode line by line. `decode_line` returns a record, or why there is none. Past `MAX_REJECTS_PER_MESSAGE` the
    lines left share a reject.
    """
    records: list[T] = []
    indexes: list[int] = []
    rejected: list[RejectedRow] = []
    unnamed = 0
    for index, line in enumerate(line for line in value.split(_NEWLINE) if line.strip()):
        outcome = decode_line(line)
        if not isinstance(outcome, str):
            records.append(outcome)
            indexes.append(index)
        elif len(rejected) < MAX_REJECTS_PER_MESSAGE:
            rejected.append(reject_line(place, index, line, outcome))
        else:
            unnamed += 1
    if unnamed:
        reason = f"{unnamed} more lines of this message are unreadable"
        rejected.append(reject_line(place, "rest", b"", reason))
    return Decoded(place, len(value), records, indexes, rejected)


def reject_line(place: Place, index: int | str, line: bytes, reason: str) -> RejectedRow:
    """`index`: of the line in its message."""
    return RejectedRow(
        app_id=_app_of(line),
        reject_id=reject_id(place.topic, str(place.partition), str(place.offset), str(index)),
        rejected_at_ms=place.timestamp_ms,
        stage="stream",
        code=ErrorCode.INVALID_PARAMETER.value,
        field=f"{place.topic}[{place.partition}]@{place.offset}[{index}]",
        reason=reason,
        payload=kept_text(line),
    )


def reject_event(place: Place, index: int, event: StreamEvent, reason: str) -> RejectedRow:
    """A well-formed event that the domain could not take."""
    row = reject_line(place, index, msgspec.json.encode(event), reason)
    row.code = ErrorCode.SERVER_ERROR.value
    return row


def _app_of(line: bytes) -> str:
    try:
        return _decode_app(line).app_id
    except UNREADABLE:
        return ""
