"""A packed message taken apart: the events it holds, and a reject for every line that is none. Pure.

One bad line never costs its neighbours, and nothing that arrives makes this raise.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from schemas.errors import ErrorCode
from schemas.events import StreamEvent, decode_stream_event, decode_stream_events
from schemas.facts import RejectedRow
from schemas.ids import reject_id
from schemas.rejected_payload import kept_text

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
class Decoded:
    """`indexes[i]` is the number of the line `events[i]` came from, ascending."""

    place: Place
    size_bytes: int
    events: Sequence[StreamEvent]
    indexes: Sequence[int]
    rejected: Sequence[RejectedRow]

    def position_of(self, index: int) -> int:
        """Return the position of the first event at or after line `index`."""
        return bisect_left(self.indexes, index)


class _AppOnly(msgspec.Struct):
    app_id: str = ""


_decode_app = msgspec.json.Decoder(_AppOnly).decode


def decode_message(value: bytes | None, place: Place) -> Decoded:
    """Decode all lines at once, which is fast; if that fails, one by one."""
    if value is None:
        return Decoded(place, 0, (), (), [reject_line(place, 0, b"", "the message has no value")])
    try:
        events = decode_stream_events(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_line_by_line(value, place)
    if all(map(_is_in_time, events)):
        return Decoded(place, len(value), events, range(len(events)), ())
    return _decode_line_by_line(value, place)


def _is_in_time(event: StreamEvent) -> bool:
    return 0 <= event.timestamp_ms <= MAX_TIME_MS and 0 <= event.received_us <= MAX_TIME_MS * 1000


def _decode_line_by_line(value: bytes, place: Place) -> Decoded:
    return Decoded(place, len(value), *decode_each_line(value, place, _decode_line))


def decode_each_line(
    value: bytes, place: Place, decode_line: Callable[[bytes], T | str]
) -> tuple[list[T], list[int], list[RejectedRow]]:
    """The records of a message, the number of the line each came from, and a reject for every line that is none.

    `decode_line` returns a record, or why there is none. Past `MAX_REJECTS_PER_MESSAGE` the lines left share a reject.
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
    return records, indexes, rejected


def _decode_line(line: bytes) -> StreamEvent | str:
    """The event, or why there is none."""
    try:
        event = decode_stream_event(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return str(error)
    return event if _is_in_time(event) else "a time is before 1970 or after 9999"


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
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
