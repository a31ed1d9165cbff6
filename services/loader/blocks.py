"""Group messages into blocks to insert together, and decide when. Pure: messages and a monotonic time go in, blocks
come out.

A `Buffer` gathers the messages of one topic. Its block is due when it holds enough rows or bytes, or when the last
block was taken at least `max_age_seconds` ago: so a lone message goes at once, and a trickle makes at most
1 / `max_age_seconds` blocks a second. An insert has a fixed price (10 to 20 ms of processor with or without rows), so
the time between blocks also grows with the time the last insert took: the busier the machine, the larger the blocks.
Messages keep the order of the log within their partition.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from schemas.topics import Topic

_HELD_BLOCKS: Final = 2
"""Full blocks a buffer holds before it stops reading: one is inserted while the next is gathered."""
_PAUSE_PER_INSERT: Final = 20
"""Seconds between the beginnings of two blocks of a table: this many times as many as the first one took …"""
_LONGEST_PAUSE_SECONDS: Final = 1.0
"""… but no more than this."""

PartitionKey = tuple[str, int]
"""(topic, partition)"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one block. It may exceed rows and bytes by its last message, for a message is never split."""

    max_rows: int
    max_bytes: int
    max_age_seconds: float


@dataclass(frozen=True, slots=True)
class Message:
    """A record of the log; `value` is NDJSON."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Time it was produced."""
    value: bytes
    traceparent: bytes = b""
    """Step of a trace that it follows from; empty: none, or traces are off."""

    @property
    def rows(self) -> int:
        if not self.value:
            return 0
        return self.value.count(b"\n") + (not self.value.endswith(b"\n"))


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a message. `index` counts the rows of the message from 0."""

    message: Message
    index: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """Messages of one topic, inserted with one statement."""

    topic: str
    messages: tuple[Message, ...]
    rows: int
    size_bytes: int

    @property
    def table(self) -> str:
        return table_of(self.topic)

    @property
    def next_offsets(self) -> dict[int, int]:
        """Partition → the first offset after this block."""
        return {message.partition: message.offset + 1 for message in self.messages}

    def encode(self) -> bytes:
        return b"\n".join(message.value for message in self.messages if message.value)

    def lines(self) -> list[Line]:
        return [line for message in self.messages for line in _lines(message)]


class Pace:
    """How soon a table may be written to again: the longer the last insert took, the later."""

    def __init__(self, shortest_seconds: float) -> None:
        self._shortest_seconds = shortest_seconds
        self._pause_seconds = shortest_seconds
        self._began_at = float("-inf")

    @property
    def next_at(self) -> float:
        """Monotonic seconds of the next write."""
        return self._began_at + self._pause_seconds

    def begin(self, now: float) -> None:
        """Note that a write begins."""
        self._began_at = now

    def took(self, seconds: float) -> None:
        """Note how long the last write took."""
        self._pause_seconds = max(min(seconds * _PAUSE_PER_INSERT, _LONGEST_PAUSE_SECONDS), self._shortest_seconds)


class Buffer:
    """The messages of one topic that wait to be inserted."""

    def __init__(self, topic: str, limits: Limits) -> None:
        self.topic = topic
        self._limits = limits
        self._full: deque[Block] = deque()
        self._full_rows = 0
        self._full_bytes = 0
        self.pace = Pace(limits.max_age_seconds)
        self._open_since = 0.0
        self._messages: list[Message] = []
        self._rows = 0
        self._bytes = 0

    def add(self, message: Message, now: float) -> None:
        """Add a message. `now`: monotonic seconds, here and below."""
        if not self._messages:
            self._open_since = now
        self._messages.append(message)
        self._rows += message.rows
        self._bytes += len(message.value)
        if self._rows >= self._limits.max_rows or self._bytes >= self._limits.max_bytes:
            self._close()

    def due_in(self, now: float) -> float | None:
        """Seconds until a block is due, 0 if one is; None while the buffer is empty."""
        if self._full:
            return 0.0
        if not self._messages:
            return None
        return max(0.0, max(self._open_since, self.pace.next_at) - now)

    def take(self, now: float) -> Block | None:
        """Take the oldest block, whether due or not; None if the buffer is empty."""
        if not self._full and self._messages:
            self._close()
        if not self._full:
            return None
        self.pace.begin(now)
        block = self._full.popleft()
        self._full_rows -= block.rows
        self._full_bytes -= block.size_bytes
        return block

    @property
    def held_rows(self) -> int:
        return self._full_rows + self._rows

    @property
    def has_room(self) -> bool:
        """True if the buffer takes more messages. It bounds the memory when ClickHouse is slow or away."""
        rows, size = self.held_rows, self._full_bytes + self._bytes
        return rows < _HELD_BLOCKS * self._limits.max_rows and size < _HELD_BLOCKS * self._limits.max_bytes

    def clear(self) -> None:
        """Forget everything: the partitions went to someone else, who will read the messages again."""
        self._full.clear()
        self._full_rows = self._full_bytes = 0
        self._reopen()

    def _close(self) -> None:
        self._full.append(Block(self.topic, tuple(self._messages), self._rows, self._bytes))
        self._full_rows += self._rows
        self._full_bytes += self._bytes
        self._reopen()

    def _reopen(self) -> None:
        self._messages, self._rows, self._bytes = [], 0, 0


class Positions:
    """Positions that are stored but not yet reported, as next offsets by (topic, partition).

    An epoch ends with every change of the assignment: what was taken from the log in an earlier one says nothing about
    the offsets this process may commit now.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._stored: dict[PartitionKey, int] = {}

    def stored(self, block: Block, epoch: int) -> None:
        """Note stored positions. `epoch`: when the block was taken."""
        self.put_back({(block.topic, p): offset for p, offset in block.next_offsets.items()}, epoch)

    def put_back(self, positions: dict[PartitionKey, int], epoch: int) -> None:
        """Put positions back whose report failed; a later one of the same partition stays."""
        if epoch != self.epoch:
            return
        for place, offset in positions.items():
            self._stored[place] = max(offset, self._stored.get(place, 0))

    def take(self) -> dict[PartitionKey, int]:
        taken, self._stored = self._stored, {}
        return taken

    def new_epoch(self) -> None:
        self.epoch += 1
        self._stored = {}


_TABLES: Final = {Topic.COSTS.value: "spend"}
"""Tables that are not named after their topic."""


def table_of(topic: str) -> str:
    """Return the table of a topic. It has its name, with the underscores SQL wants, unless it was made anew under
    another.
    """
    return _TABLES.get(topic) or topic.replace("-", "_")


def token(data: bytes) -> str:
    """Return a deduplication token: the same for the same data. Offsets would not do: a broker that lost its data gives
    them out again.
    """
    return blake2b(data, digest_size=16).hexdigest()


def start_position(committed: int | None, loaded: int | None) -> int | None:
    """Return the offset to read a partition from, if it is not the group's own; 0 means its beginning.

    `committed` is what the broker, `loaded` what ClickHouse knows to be in the tables. ClickHouse is told first, so it
    knows less only if its tables were emptied or brought back from a backup: then what is missing is read again.
    """
    if committed is None:
        return None
    return loaded or 0 if (loaded or 0) < committed else None


def _lines(message: Message) -> Iterator[Line]:
    values = (value for value in message.value.split(b"\n") if value.strip())
    return (Line(message, index, value) for index, value in enumerate(values))
