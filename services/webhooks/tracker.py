"""What of one partition of `webhook-deliveries` is done, and how far each endpoint has been counted. Pure.

Deliveries finish in any order, offsets are committed in order: `committable` is the offset before which everything is
done (delivered, or safely in `webhook-retries`). With it goes the count of each endpoint *at that offset*, as the
commit's metadata. So a restart goes on with offset and counts that belong together, and a delivery that is read again
gets the number it had: the receiver sees a gap only where one is.

Why there: the number has to be one per endpoint, without holes, the same after a crash. Offsets have holes (many
endpoints share a partition), and a count kept anywhere else could disagree with the offset. Kafka keeps 4 KB of
metadata, enough for some two hundred endpoints per partition; of more, those that were longest idle begin again at 1.
"""

from collections import OrderedDict, deque
from typing import Final

MAX_METADATA_BYTES: Final = 4_000
_VERSION: Final = "1"
_REMEMBERED_IDS: Final = 20_000
_PREFIX: Final = "whe_"


class _Entry:
    """One record: its deliveries still open, and the last numbers it gave out."""

    __slots__ = ("last_numbers", "offset", "open")

    def __init__(self, offset: int, deliveries: int) -> None:
        self.offset = offset
        self.open = deliveries
        self.last_numbers: dict[str, int] = {}


class Tracker:
    """One partition, from an assignment to its end. `counts`: of the endpoints, at the offset where it begins."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.is_closed = False
        self._counts = dict(counts)
        self._committed_counts: OrderedDict[str, int] = OrderedDict(counts)
        self._entries: deque[_Entry] = deque()
        self._open: dict[int, _Entry] = {}
        self._next_offset: int | None = None
        self._seen: OrderedDict[str, None] = OrderedDict()

    @property
    def open_records(self) -> int:
        return len(self._open)

    def began(self, offset: int, deliveries: int) -> None:
        """A record was read. Records come in the order of their offsets."""
        entry = _Entry(offset, deliveries)
        self._entries.append(entry)
        self._open[offset] = entry
        if not deliveries:
            self._finish(entry)

    def number(self, offset: int, endpoint_id: str) -> int:
        """The next number of the endpoint, given out within that record."""
        number = self._counts.get(endpoint_id, 0) + 1
        self._counts[endpoint_id] = number
        self._open[offset].last_numbers[endpoint_id] = number
        return number

    def is_repeat(self, delivery_id: str) -> bool:
        """Whether a fresh delivery of this id was read before, not too long ago: its writer was killed before it could
        commit, and wrote it again."""
        if delivery_id in self._seen:
            return True
        self._seen[delivery_id] = None
        if len(self._seen) > _REMEMBERED_IDS:
            self._seen.popitem(last=False)
        return False

    def done(self, offset: int) -> None:
        """One delivery of that record is done."""
        entry = self._open[offset]
        entry.open -= 1
        if not entry.open:
            self._finish(entry)

    def committable(self) -> int | None:
        """The offset to commit; None: nothing was done yet."""
        return self._next_offset

    def metadata(self) -> str:
        """The counts at `committable`."""
        text = _VERSION
        for endpoint_id, count in reversed(self._committed_counts.items()):
            part = f",{endpoint_id.removeprefix(_PREFIX)}:{count}"
            if len(text) + len(part) > MAX_METADATA_BYTES:
                break
            text += part
        return text

    def _finish(self, entry: _Entry) -> None:
        del self._open[entry.offset]
        while self._entries and not self._entries[0].open:
            first = self._entries.popleft()
            self._next_offset = first.offset + 1
            for endpoint_id, number in first.last_numbers.items():
                self._committed_counts[endpoint_id] = number
                self._committed_counts.move_to_end(endpoint_id)


def read_metadata(text: str) -> dict[str, int]:
    """The counts; none where there is no metadata, or not ours."""
    version, *parts = text.split(",")
    if version != _VERSION:
        return {}
    pairs = [part.rpartition(":") for part in reversed(parts)]
    return {_PREFIX + endpoint: int(count) for endpoint, _, count in pairs}
