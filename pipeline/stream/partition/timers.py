"""Event-time timers of a partition, to the minute. Pure.

A wheel of minutes: each holds the keys due in it. A key stands in one minute; a later entry for an earlier time
replaces it, and what is left of the old one is ignored when its minute comes.
"""

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush

from pipeline.domain.rules import TIMER_STEP_MS


class Timers:
    def __init__(self) -> None:
        self._keys_by_minute: dict[int, list[str]] = {}
        self._minute_by_key: dict[str, int] = {}
        self._minutes: list[int] = []
        """A heap of the minutes in use, so that asking whether anything is due costs nothing."""

    def __len__(self) -> int:
        return len(self._minute_by_key)

    def schedule(self, key: str, time_ms: int) -> None:
        """Due when the watermark reaches the first full minute at or after `time_ms`, unless it is due earlier."""
        minute = -(-time_ms // TIMER_STEP_MS)
        known = self._minute_by_key.get(key)
        if known is not None and known <= minute:
            return
        keys = self._keys_by_minute.get(minute)
        if keys is None:
            self._keys_by_minute[minute] = [key]
            heappush(self._minutes, minute)
        else:
            keys.append(key)
        self._minute_by_key[key] = minute

    def schedule_all(self, minutes: Mapping[str, int]) -> None:
        """Many keys that have no timer yet, each with its minute."""
        self._minute_by_key.update(minutes)
        keys_by_minute = self._keys_by_minute
        for key, minute in minutes.items():
            keys = keys_by_minute.get(minute)
            if keys is None:
                keys_by_minute[minute] = [key]
                heappush(self._minutes, minute)
            else:
                keys.append(key)

    def cancel(self, key: str) -> None:
        self._minute_by_key.pop(key, None)

    def is_due(self, watermark_ms: int) -> bool:
        return bool(self._minutes) and self._minutes[0] * TIMER_STEP_MS <= watermark_ms

    def take_due(self, watermark_ms: int) -> Iterator[str]:
        """Remove and give every key due at `watermark_ms`; schedule again those that are not through."""
        while self.is_due(watermark_ms):
            minute = heappop(self._minutes)
            for key in self._keys_by_minute.pop(minute):
                if self._minute_by_key.get(key) == minute:
                    del self._minute_by_key[key]
                    yield key
