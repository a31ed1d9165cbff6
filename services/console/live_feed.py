"""Live events: what is stored of an app is read once for all who watch it, and handed to each of them.

A feed is of one app under one filter. It reads while somebody watches; it keeps the newest rows, and a watcher that is
slow misses those that fell out. Everything is in this process's memory and bounded.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from pipeline.runtime.clock import monotonic_seconds
from schemas.control import App
from services.console.reading import ReadFailed
from services.console.stored_events import LiveRow, row_of

RECENT: Final = "/console/events/recent"
"""Path of the events stored last."""
MOST_ROWS: Final = 50
MAX_WATCHING: Final = 200
"""Watchers of this process."""
MAX_OF_ONE: Final = 4
"""Watchers of one user in one app: windows that are open side by side."""
TICK_SECONDS: Final = 2.0
"""A watcher is told at least this often that there is nothing new."""
_POLL_SECONDS: Final = 0.5
_REST: Final = 3
"""A feed rests so many times as long as its last reading took."""
_OVERLAP_MS: Final = 10_000
"""A row may be seen later than others that were stored after it: so far back each reading looks again."""
_KNOWN_IDS: Final = 500
Filters = tuple[tuple[str, str], ...]
Read = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""(app id, parameters) → the answer of `RECENT`. Raises `ReadFailed`."""


class _NewOnes:
    """Leaves out rows that were there before, of the last `_KNOWN_IDS`."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    def of(self, rows: list[LiveRow]) -> list[LiveRow]:
        new = [row for row in rows if row.event_id not in self._known]
        self._known |= dict.fromkeys(row.event_id for row in new)
        for event_id in list(self._known)[:-_KNOWN_IDS]:
            del self._known[event_id]
        return new


class Feed:
    """The newest rows of an app under a filter, and their number since the feed began."""

    def __init__(self, read: Callable[[int], Awaitable[list[LiveRow]]]) -> None:
        """`read`: the rows stored after a time in milliseconds, oldest first. Raises `ReadFailed`."""
        self._read = read
        self._rows: deque[LiveRow] = deque(maxlen=MOST_ROWS)
        self._new_ones = _NewOnes()
        self._changed = asyncio.Event()
        self.count = 0
        self.is_away = False
        self.watching = 0

    async def run(self, after_ms: int) -> None:
        """Read on and on, what was stored after that time."""
        while True:
            began = monotonic_seconds()
            rest = _POLL_SECONDS
            try:
                rows = await self._read(max(0, after_ms - _OVERLAP_MS))
            except ReadFailed:
                self.is_away, rest = True, TICK_SECONDS
            else:
                self.is_away = False
                after_ms = max([after_ms, *(row.stored_at_ms for row in rows)])
                self._add(self._new_ones.of(rows))
            await asyncio.sleep(max(rest, _REST * (monotonic_seconds() - began)))

    def _add(self, rows: list[LiveRow]) -> None:
        if rows:
            self._rows.extend(rows)
            self.count += len(rows)
            self.wake()

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def after(self, count: int) -> list[LiveRow]:
        """Return the rows after the first `count`, those that are kept; wait for one, `TICK_SECONDS` at most."""
        if self.count <= count:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), TICK_SECONDS)
        missed = min(self.count - count, len(self._rows))
        return list(self._rows)[len(self._rows) - missed :]


class LiveFeeds:
    """All feeds of this process, and who watches them."""

    def __init__(self, read: Read, app_of: Callable[[str], App | None]) -> None:
        self._read = read
        self._app_of = app_of
        self._feeds: dict[tuple[str, Filters], Feed] = {}
        self._tasks: dict[Feed, asyncio.Task[None]] = {}
        self._watching: Counter[tuple[str, str]] = Counter()
        self._is_closed = False

    @property
    def watching(self) -> int:
        return self._watching.total()

    def is_full(self, user_id: str, app_id: str) -> bool:
        return self.watching >= MAX_WATCHING or self._watching[user_id, app_id] >= MAX_OF_ONE

    def close(self) -> None:
        """End the watching of everybody, when the process stops: nobody waits for the end of what has none."""
        self._is_closed = True
        for feed in self._feeds.values():
            feed.wake()

    async def watch(
        self, user_id: str, app_id: str, filters: Filters, after_ms: int
    ) -> AsyncGenerator[tuple[list[LiveRow], bool]]:
        """Yield (rows stored after that time, oldest first; False: they cannot be read now), again and again.

        Some from shortly before that time may be among them. It ends when the process stops, and when there are more
        watchers than may be.
        """
        if self._is_closed or self.is_full(user_id, app_id):
            return
        with self._counted(user_id, app_id), self._joined(app_id, filters, after_ms) as feed:
            new_ones, count, start_ms = _NewOnes(), feed.count, max(0, after_ms - _OVERLAP_MS)
            try:
                before = await self._rows(app_id, filters, start_ms)  # the feed may have begun later
            except ReadFailed:
                yield [], False
            else:
                yield new_ones.of(before), True
            while not self._is_closed and not self._tasks[feed].done():
                rows = await feed.after(count)
                count = feed.count
                yield new_ones.of([row for row in rows if row.stored_at_ms > start_ms]), not feed.is_away

    @contextmanager
    def _counted(self, user_id: str, app_id: str) -> Iterator[None]:
        self._watching[user_id, app_id] += 1
        try:
            yield
        finally:
            self._watching[user_id, app_id] -= 1
            self._watching += Counter()  # drops those at zero

    @contextmanager
    def _joined(self, app_id: str, filters: Filters, after_ms: int) -> Iterator[Feed]:
        """Join the feed of the app and filter, which runs until the last who joined it leaves."""
        key = (app_id, filters)
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(lambda after: self._rows(app_id, filters, after))
            self._tasks[feed] = asyncio.create_task(feed.run(after_ms))
        feed.watching += 1
        try:
            yield feed
        finally:
            feed.watching -= 1
            if not feed.watching:
                self._tasks.pop(feed).cancel()
                del self._feeds[key]

    async def _rows(self, app_id: str, filters: Filters, after_ms: int) -> list[LiveRow]:
        found = await self._read(app_id, dict(filters) | {"after_ms": after_ms, "limit": MOST_ROWS})
        app = self._app_of(app_id)
        return [row_of(app, item) for item in reversed(found["items"])] if app is not None else []
