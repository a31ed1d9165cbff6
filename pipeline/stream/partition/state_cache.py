"""The decoded states of one partition, as many as fit; the rest are records in the store. Pure: the store is passed in.

A large state is several records (see `pages`), and it is known how each that is decoded is stored.

The least recently used go first, in a cheap approximation: two generations, `hot` and the one before it. Whoever is
used comes to `hot`; when that is half of either bound, in persons or in bytes, it becomes the older generation, and the
older one is dropped.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from pipeline.domain.state import PersonState, decode_state, encode_state, new_state
from pipeline.stream.partition.pages import WHOLE_BYTES, Layout, ReadMany, delete_pages, read_states, write_state

USUAL_BYTES: Final = 1024
"""A state no larger than this counts as this large; the sizes of larger ones are remembered."""
DECODED_FACTOR: Final = 12
"""Bytes of memory that a decoded state and its pages are taken to need per encoded byte. Measured by `tracemalloc`: 9.9
for 200 segments of empty texts (10 KB encoded), 8.8 for 100 conversions of short ones, 5.8 for 300 usual sessions of
one campaign each (98 KB), 5.1 for 100 usual conversions and touches (25 KB), 1.0 for ids seen and the archive; and up
to 2 for pages."""
_EMPTY_STATE: Final = encode_state(new_state())


class LiveStates:
    """`capacity`: decoded states kept; `capacity_bytes`: the memory they may take, by `DECODED_FACTOR`. The states of a
    group are never dropped while it is open, so both bounds may be exceeded by those of two groups."""

    def __init__(self, read_many: ReadMany, capacity: int, capacity_bytes: int) -> None:
        self.hot: dict[str, PersonState] = {}
        """States that `fetch` returned since the last `hold`, which can be changed in place."""
        self._cold: dict[str, PersonState] = {}
        self._read_many = read_many
        self._generation_size = max(1, capacity // 2)
        self._generation_bytes = capacity_bytes // DECODED_FACTOR // 2
        """Encoded."""
        self._hot_bytes = 0
        """The sum of `size_of` over `hot`."""
        self._in_flight: dict[bytes, bytes | None] = {}
        self._large_bytes: dict[str, int] = {}
        self._layouts: dict[str, Layout] = {}
        """How the states here that are in pages are stored, or will be by the group that is closed."""

    def __len__(self) -> int:
        return len(self.hot) + len(self._cold)

    def fetch(self, keys: Iterable[str]) -> None:
        """Bring the states of `keys` to `hot`, new ones for persons not known."""
        hot, cold = self.hot, self._cold
        absent = []
        for key in keys:
            if key in hot:
                continue
            state = cold.pop(key, None)
            if state is None:
                absent.append(key)
            else:
                hot[key] = state
                self._hot_bytes += self.size_of(key)
        if absent:
            self._load(list(dict.fromkeys(absent)))

    def _load(self, keys: list[str]) -> None:
        raw_keys = [key.encode() for key in keys]
        found = list(zip(raw_keys, self._read(raw_keys), strict=True))
        for key, (data, layout) in zip(keys, read_states(found, self._read), strict=True):
            self.hot[key] = new_state() if data is None else decode_state(data)
            self._hot_bytes += self.size_of(key)
            self._note(key, len(data or b""), layout)

    def _read(self, raw_keys: Sequence[bytes]) -> list[bytes | None]:
        found = self._read_many(raw_keys)
        if not self._in_flight:
            return found
        get = self._in_flight.get
        return [get(raw, data) for raw, data in zip(raw_keys, found, strict=True)]

    def encode(self, key: str, *, is_expired: bool = False) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
        """(puts, deletes) that store the state of `key`, which is in `hot`. They must be written."""
        raw_key, before = key.encode(), self._layouts.get(key)
        data = _EMPTY_STATE if is_expired else encode_state(self.hot[key])
        if before is None and len(data) <= WHOLE_BYTES and data != _EMPTY_STATE:
            self.note_size(key, len(data))
            return [(raw_key, data)], []
        if data == _EMPTY_STATE:
            self._note(key, 0, None)
            return [], [raw_key, *delete_pages(raw_key, before)]
        change = write_state(raw_key, data, before)
        self._note(key, len(data), change.layout)
        return change.puts, change.deletes

    def _note(self, key: str, size_bytes: int, layout: Layout | None) -> None:
        self.note_size(key, size_bytes)
        if layout is not None:
            self._layouts[key] = layout
        else:
            self._layouts.pop(key, None)

    def note_size(self, key: str, size_bytes: int) -> None:
        """The state of `key`, which is in `hot`, takes this much encoded."""
        self._hot_bytes -= self.size_of(key)
        if size_bytes > USUAL_BYTES:
            self._large_bytes[key] = size_bytes
        elif key in self._large_bytes:
            del self._large_bytes[key]
        self._hot_bytes += self.size_of(key)

    def size_of(self, key: str) -> int:
        """An upper bound of what the state takes when encoded, as of when it was last read or written."""
        return self._large_bytes.get(key, USUAL_BYTES)

    def forget(self, key: str) -> None:
        """Drop the decoded state; the next `fetch` reads it from its bytes."""
        if self.hot.pop(key, None) is not None:
            self._hot_bytes -= self.size_of(key)
        self._cold.pop(key, None)
        self._large_bytes.pop(key, None)
        self._layouts.pop(key, None)

    def hold(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes]) -> None:
        """A group was closed: from now on read these rather than the store's, until `stored`. No other group is open.

        Here the least recently used go: what has changed is in the bytes, nothing decoded is needed any more.
        """
        assert not self._in_flight, "the group before is not stored yet"
        self._in_flight.update(puts)
        self._in_flight.update(dict.fromkeys(deletes))
        if len(self.hot) >= self._generation_size or self._hot_bytes >= self._generation_bytes:
            self._cold, self.hot, self._hot_bytes = self.hot, {}, 0
            self._large_bytes = {key: size for key, size in self._large_bytes.items() if key in self._cold}
            self._layouts = {key: layout for key, layout in self._layouts.items() if key in self._cold}

    def stored(self) -> None:
        """The store has what `hold` was told."""
        self._in_flight = {}
