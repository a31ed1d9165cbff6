"""The decoded states of one partition, as many as fit; the rest are bytes in the store. Pure: the store is passed in.

The least recently used go first, in a cheap approximation: two generations, `hot` and the one before it. Whoever is
used comes to `hot`; when that is half of the bound, it becomes the older generation, and the older one is dropped.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pipeline.domain.state import PersonState, decode_state, new_state

USUAL_BYTES: Final = 1024
"""A state no larger than this counts as this large; the sizes of larger ones are remembered."""

ReadMany = Callable[[Sequence[bytes]], list[bytes | None]]


class LiveStates:
    """`capacity`: decoded states kept. Those of the open group are never dropped, so it may be exceeded."""

    def __init__(self, read_many: ReadMany, capacity: int) -> None:
        self.hot: dict[str, PersonState] = {}
        """What was asked for by `fetch` since the last `hold` is in here, and can be changed in place."""
        self._cold: dict[str, PersonState] = {}
        self._read_many = read_many
        self._generation_size = max(1, capacity // 2)
        self._in_flight: dict[bytes, bytes | None] = {}
        self._large_bytes: dict[str, int] = {}

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
        if absent:
            self._load(list(dict.fromkeys(absent)))

    def _load(self, keys: list[str]) -> None:
        raw_keys = [key.encode() for key in keys]
        found = self._read_many(raw_keys)
        if self._in_flight:
            get = self._in_flight.get
            found = [get(raw, data) for raw, data in zip(raw_keys, found, strict=True)]
        for key, data in zip(keys, found, strict=True):
            if data is None:
                self.hot[key] = new_state()
            else:
                self.hot[key] = decode_state(data)
                self.note_size(key, len(data))

    def note_size(self, key: str, size_bytes: int) -> None:
        if size_bytes > USUAL_BYTES:
            self._large_bytes[key] = size_bytes
        elif key in self._large_bytes:
            del self._large_bytes[key]

    def size_of(self, key: str) -> int:
        """An upper bound of what the state takes when encoded, as of when it was last read or written."""
        return self._large_bytes.get(key, USUAL_BYTES)

    def forget(self, key: str) -> None:
        """Drop the decoded state; the next `fetch` reads it from its bytes."""
        self.hot.pop(key, None)
        self._cold.pop(key, None)

    def hold(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes]) -> None:
        """A group was closed: from now on read these rather than the store's, until `stored`. No other group is open.

        Here the least recently used go: what has changed is in the bytes, nothing decoded is needed any more.
        """
        assert not self._in_flight, "the group before is not stored yet"
        self._in_flight.update(puts)
        self._in_flight.update(dict.fromkeys(deletes))
        if len(self.hot) >= self._generation_size:
            self._cold = self.hot
            self.hot = {}

    def stored(self) -> None:
        """The store has what `hold` was told."""
        self._in_flight = {}
