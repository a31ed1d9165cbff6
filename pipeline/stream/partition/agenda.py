"""Agenda of one partition: whose next wakeup is when. Pure.

Of every stored person either rows are owed, and the wakeup is soon; or there is a timer; or nothing is to be done
before the next event. What is kept beside the state (see `wakeups`) says which.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from pipeline.domain.apply import next_timer_ms
from pipeline.domain.state import PersonState, decode_state
from pipeline.stream.partition.owed_rows import OwedRows
from pipeline.stream.partition.persons import SEPARATOR, Persons
from pipeline.stream.partition.timers import Timers
from pipeline.stream.partition.wakeups import (
    FIRST_MINUTE,
    NEVER,
    minute_of,
    owing_minute,
    read_wakeups,
    timed_wakeup,
    timing_of,
    wakeup_at,
)

_RETRY_MS: Final = 3_600_000
"""A person whose wakeup raised is left alone for this long in event time, or until the next event."""


class Agenda:
    def __init__(self, persons: Persons) -> None:
        self.owed = OwedRows()
        self._persons = persons
        self._timers = Timers()
        self._due: deque[str] = deque()
        """Taken from the timers, and not woken yet."""

    @property
    def timed_persons(self) -> int:
        return len(self._timers)

    @property
    def is_due(self) -> bool:
        """Somebody's time has come."""
        return bool(self._due) or self._timers.is_due(self._persons.watermark.value_ms)

    # At assignment

    def restore(self, wakeups: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Learn the wakeups of stored persons.

        Returns those whose wakeup was worked out for other rules, or not at all: `restore_states` must see their
        states.
        """
        minutes, timings = read_wakeups([wakeup for _, wakeup in wakeups])
        earliest = minute_of(self._persons.watermark.value_ms + 1)
        scheduled: dict[str, int] = {}
        unknown: list[bytes] = []
        app, timing_of_app = SEPARATOR, 0
        for (raw_key, _), minute, timing in zip(wakeups, minutes, timings, strict=True):
            key = raw_key.decode()
            if not key.startswith(app):
                app = key[: key.index(SEPARATOR) + 1]
                timing_of_app = timing_of(self._persons.rules_of(key))
            if timing != timing_of_app:
                unknown.append(raw_key)
            elif minute < FIRST_MINUTE:
                self.owed.note(key, minute)
            elif minute != NEVER:
                scheduled[key] = minute if minute > earliest else earliest
        self._timers.schedule_all(scheduled)
        return unknown

    def restore_states(self, states: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Restore from the states themselves. Return the wakeups, which the store is to keep."""
        return [(raw_key, self.note(raw_key.decode(), decode_state(data), is_stuck=False)) for raw_key, data in states]

    # When a group is closed

    def note(self, key: str, state: PersonState, *, is_stuck: bool) -> bytes:
        """Either rows are owed, then the person is woken soon; or the next wakeup is at the timer.

        Returns what is to be kept of this beside the state. A person who is stuck is tried again at a restart.
        """
        rules = self._persons.rules_of(key)
        minute = owing_minute(state)
        if minute is not None and not is_stuck:
            self.owed.note(key, minute)
            return wakeup_at(minute, rules)
        self.owed.forget(key)
        time_ms = next_timer_ms(state, rules)
        if time_ms is not None:
            earliest_ms = self._persons.watermark.value_ms + (_RETRY_MS if is_stuck else 1)
            self._timers.schedule(key, max(time_ms, earliest_ms))
        return timed_wakeup(time_ms, rules) if minute is None else wakeup_at(minute, rules)

    def forget(self, key: str) -> None:
        self._timers.cancel(key)
        self.owed.forget(key)

    # Who is due

    def collect_due(self) -> None:
        """Take those whose time has come from the timers."""
        self._due.extend(self._timers.take_due(self._persons.watermark.value_ms))

    def take_due(self, most: int) -> list[str]:
        """Take the next of those that were collected, `most` of them."""
        return [self._due.popleft() for _ in range(min(most, len(self._due)))]

    def put_back(self, keys: Sequence[str]) -> None:
        """There was no room for these; they are the next again."""
        self._due.extendleft(reversed(keys))

    def is_time_for(self, key: str) -> bool:
        """A session that went on has moved its timer; it is set again."""
        persons = self._persons
        time_ms = next_timer_ms(persons.states.hot[key], persons.rules_of(key))
        if time_ms is None or time_ms <= persons.watermark.value_ms:
            return True
        self._timers.schedule(key, time_ms)
        return False
