"""Progress of one partition of `webhook-deliveries`: the deliveries done, and each endpoint's count. Pure.

Deliveries finish in any order, offsets are committed in order: `committable` is the offset before which everything is
done (delivered, or safely in `webhook-retries`). With it goes, as the commit's metadata, what belongs to that offset:

- the *count* of each endpoint, so that a delivery that is read again gets the number it had, and the receiver sees a
  gap only where one is;
- the *mark* of each source: the place of the newest delivery that has come from it. Deliveries of a source come in the
  order of their places (offset, row, endpoint), so one at or before the mark is a repeat: its writer was killed before
  it could commit, and wrote it again. A repeat keeps the number it had, because it gets none.

Why there: the number has to be one per endpoint, without holes, the same after a crash. Offsets have holes (many
endpoints share a partition), and a count kept anywhere else could disagree with the offset. Kafka keeps 4 KB of
metadata, enough for some hundred and fifty endpoints per partition; of more, those that were longest idle begin again
at 1. A mark that found no room only means that a repeat may pass, with the id it had.
"""

from collections import OrderedDict, deque
from typing import Final, NamedTuple

MAX_METADATA_BYTES: Final = 4_000
MAX_MARKS_BYTES: Final = 2_000
_VERSION: Final = "2"
_PREFIX: Final = "whe_"


class Mark(NamedTuple):
    """Place of a delivery in its source, and when the record of its fact was written."""

    offset: int
    row: int
    created_at_ms: int
    endpoint_id: str = ""
    """Endpoint. Empty in marks of before version 2: any endpoint of the same fact comes after it."""

    @property
    def place(self) -> tuple[int, int, str]:
        """Sort key of the deliveries of a source."""
        return self.offset, self.row, self.endpoint_id


class State(NamedTuple):
    """State stored in a commit beside its offset."""

    counts: dict[str, int]
    marks: dict[str, Mark]


NOTHING: Final = State({}, {})


class _Entry:
    """One record: its deliveries still open, and the changes it made."""

    __slots__ = ("counts", "marks", "offset", "open")

    def __init__(self, offset: int, deliveries: int) -> None:
        self.offset = offset
        self.open = deliveries
        self.counts: dict[str, int] = {}
        self.marks: dict[str, Mark] = {}


class DeliveryProgress:
    """DeliveryProgress of one partition, from an assignment to its end. `state`: at the offset where it begins."""

    def __init__(self, state: State = NOTHING) -> None:
        self.is_closed = False
        self._counts = dict(state.counts)
        self._marks = dict(state.marks)
        self._committed_counts: OrderedDict[str, int] = OrderedDict(state.counts)
        self._committed_marks: OrderedDict[str, Mark] = OrderedDict(state.marks)
        self._entries: deque[_Entry] = deque()
        self._open: dict[int, _Entry] = {}
        self._next_offset: int | None = None

    @property
    def open_records(self) -> int:
        return len(self._open)

    def began(self, offset: int, deliveries: int) -> None:
        """Note that a record was read. Records come in the order of their offsets."""
        entry = _Entry(offset, deliveries)
        self._entries.append(entry)
        self._open[offset] = entry
        if not deliveries:
            self._finish(entry)

    def number(self, offset: int, endpoint_id: str) -> int:
        """Return the next number of the endpoint, given out within that record."""
        number = self._counts.get(endpoint_id, 0) + 1
        self._counts[endpoint_id] = self._open[offset].counts[endpoint_id] = number
        return number

    def is_repeat(self, offset: int, source: str, mark: Mark) -> bool:
        """Tell whether the delivery at `mark`, found in that record, has come before.

        A place before the known mark that was written *after* it is no repeat: the source was made anew.
        """
        known = self._marks.get(source)
        if known is not None and mark.created_at_ms <= known.created_at_ms and mark.place <= known.place:
            return True
        self._marks[source] = self._open[offset].marks[source] = mark
        return False

    def done(self, offset: int) -> None:
        """Note that one delivery of that record is done."""
        entry = self._open[offset]
        entry.open -= 1
        if not entry.open:
            self._finish(entry)

    def committable(self) -> int | None:
        """Return the offset to commit; None: nothing was done yet."""
        return self._next_offset

    def metadata(self) -> str:
        """Return the state at `committable`, encoded."""
        marks = [f"{source}:{_write_mark(mark)}" for source, mark in self._committed_marks.items()]
        counts = [f"{name.removeprefix(_PREFIX)}:{count}" for name, count in self._committed_counts.items()]
        told = _newest_that_fit(marks, MAX_MARKS_BYTES)
        return "|".join((_VERSION, told, _newest_that_fit(counts, MAX_METADATA_BYTES - len(told) - 3)))

    def _finish(self, entry: _Entry) -> None:
        del self._open[entry.offset]
        while self._entries and not self._entries[0].open:
            first = self._entries.popleft()
            self._next_offset = first.offset + 1
            for endpoint_id, number in first.counts.items():
                self._committed_counts[endpoint_id] = number
                self._committed_counts.move_to_end(endpoint_id)
            for source, mark in first.marks.items():
                self._committed_marks[source] = mark
                self._committed_marks.move_to_end(source)


def _newest_that_fit(parts: list[str], limit: int) -> str:
    """Return the newest marks that fit, in order."""
    kept: list[str] = []
    size = 0
    for part in reversed(parts):
        size += len(part) + 1
        if size > limit:
            break
        kept.append(part)
    return ",".join(reversed(kept))


def read_metadata(text: str) -> State:
    """Decode the metadata of a commit; an empty state if there is none, or it is not ours. Version 1 has marks without
    endpoints.
    """
    version, _, rest = text.partition("|")
    if version not in ("1", _VERSION):
        return NOTHING
    marks, _, counts = rest.partition("|")
    return State(
        {_PREFIX + name: int(count) for name, count in _pairs(counts)},
        {source: _read_mark(mark) for source, mark in _pairs(marks)},
    )


def _write_mark(mark: Mark) -> str:
    return f"{mark.offset}.{mark.row}.{mark.created_at_ms}.{mark.endpoint_id.removeprefix(_PREFIX)}"


def _read_mark(text: str) -> Mark:
    offset, row, created_at_ms, *endpoint = text.split(".")
    return Mark(int(offset), int(row), int(created_at_ms), _PREFIX + endpoint[0] if any(endpoint) else "")


def _pairs(text: str) -> list[tuple[str, str]]:
    split = [part.rpartition(":") for part in text.split(",") if part]
    return [(name, value) for name, _, value in split]
