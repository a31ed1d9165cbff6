"""Working set of one partition: the states, and the group of changes that grows until the next flush. No I/O.

Events are applied at once, in memory, records of `people` when it is their turn (see `stream.identity`);
`close_group` takes everything changed since the last call, as bytes. One group is open, and at most one is closed but
not stored yet (`stored` says when), so a state is always found in memory, in the closed group or in the store, in this
order.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pipeline.domain.apply import has_unpublished, is_over, next_timer_ms
from pipeline.domain.rules import AppRules
from pipeline.domain.state import PersonState, decode_state
from pipeline.domain.watermark import Watermark
from pipeline.stream.decode import Decoded
from pipeline.stream.identity.messages import DecodedPeople, PeopleQueue, app_of, carried_bytes, person_of
from pipeline.stream.partition.changelog import MAX_BATCH_BYTES, RECORD_OVERHEAD_BYTES, Marker
from pipeline.stream.partition.group import Group
from pipeline.stream.partition.owed_rows import OwedRows
from pipeline.stream.partition.pages import PAGE_BYTES, ReadMany
from pipeline.stream.partition.state_cache import LiveStates
from pipeline.stream.partition.steps import (
    SEPARATOR,
    EventStep,
    OpenGroup,
    OwedStep,
    PeopleStep,
    VisitStep,
    do_step,
    redo_carefully,
)
from pipeline.stream.partition.timers import Timers
from pipeline.stream.partition.visits import (
    FIRST_MINUTE,
    NEVER,
    minute_of,
    owing_minute,
    read_visits,
    timed_visit,
    timing_of,
    visit_at,
)
from schemas.events import person_key

GROUP_BYTES: Final = MAX_BATCH_BYTES * 5 // 8
"""A group is full at this estimate of its states' size; the rest of a record batch is for the estimate to be wrong."""
_SLICE: Final = 512
_RETRY_MS: Final = 3_600_000
"""A person whose visit raised is left alone for this long in event time, or until the next event."""


class WorkingSet:
    """`rules` maps every app id to its compiled rules; `read_many` reads the partition's store."""

    def __init__(
        self,
        partition: int,
        rules: Mapping[str, AppRules],
        read_many: ReadMany,
        watermark: Watermark,
        live_persons: int,
        live_state_bytes: int,
    ) -> None:
        self._partition = partition
        self._rules = rules
        self._states = LiveStates(read_many, live_persons, live_state_bytes)
        self._watermark = watermark
        self._timers = Timers()
        self._due: deque[str] = deque()
        self._owed = OwedRows()
        self.next_offset = 0
        """The source message to apply next; everything before it is applied."""
        self.next_index = 0
        """Lines of that message already applied."""
        self.people = PeopleQueue()
        self._forwarded: Mapping[int, tuple[int, int]] = {}
        self._rejects_taken_of = -1
        self._open = self._new_group()

    # At assignment

    def resume(self, marker: Marker) -> None:
        """Go on where the changelog's marker says."""
        self.next_offset, self.next_index = marker.offset, marker.index
        self._watermark.value_ms = marker.watermark_ms
        self.people.next_offset, self.people.next_index = marker.people_offset, marker.people_index
        self.people.until, self.people.derived_from = marker.people_until, marker.derived_from
        self._forwarded = marker.forwarded
        self._open = self._new_group()

    def restore(self, visits: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Learn of stored persons what is kept in memory of all of them: whether rows are owed, else the timer.

        Returns those whose visit was worked out for other rules, or not at all: `restore_states` must see their states.
        """
        minutes, timings = read_visits([visit for _, visit in visits])
        earliest = minute_of(self._watermark.value_ms + 1)
        scheduled: dict[str, int] = {}
        unknown: list[bytes] = []
        app, timing_of_app = SEPARATOR, 0
        for (raw_key, _), minute, timing in zip(visits, minutes, timings, strict=True):
            key = raw_key.decode()
            if not key.startswith(app):
                app = key[: key.index(SEPARATOR) + 1]
                timing_of_app = timing_of(self._rules_of(key))
            if timing != timing_of_app:
                unknown.append(raw_key)
            elif minute < FIRST_MINUTE:
                self._owed.note(key, minute)
            elif minute != NEVER:
                scheduled[key] = minute if minute > earliest else earliest
        self._timers.schedule_all(scheduled)
        return unknown

    def restore_states(self, states: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Restore from the states themselves. Return the visits, which the store is to keep."""
        return [(raw_key, self._note(raw_key.decode(), decode_state(data), is_stuck=False)) for raw_key, data in states]

    def begin(self) -> None:
        """Begin the first group, once everything is restored: what was decided on in `people` comes first."""
        self._begin_group()

    # What is going on

    @property
    def watermark_ms(self) -> int:
        return self._watermark.value_ms

    @property
    def pending_sessions(self) -> int:
        """Persons whose sessions have changed since they were last published."""
        return len(self._owed.persons)

    @property
    def is_inside_message(self) -> bool:
        """A message is applied in part."""
        return self.next_index > 0

    @property
    def has_open_changes(self) -> bool:
        return self._open.has_moved or bool(self._open.dirty) or self.people.can_decide(self.next_offset)

    @property
    def open_events(self) -> int:
        """Events in the open group."""
        return self._open.events

    @property
    def has_due_timers(self) -> bool:
        return bool(self._due) or self._timers.is_due(self._watermark.value_ms)

    @property
    def live_persons(self) -> int:
        return len(self._states)

    @property
    def timed_persons(self) -> int:
        return len(self._timers)

    def idle_for(self, elapsed_ms: int) -> None:
        """Move time on after a silence: `elapsed_ms` more of wall-clock time have passed."""
        self._watermark.idle_for(elapsed_ms)

    # Applying

    def apply(self, decoded: Decoded) -> bool:
        """Apply what fits into the open group. False if some is left: flush, then call again with the same message."""
        if self.people.is_due:
            return False
        offset = decoded.place.offset
        start = decoded.position_of(self.next_index) if offset == self.next_offset else 0
        if not start and self._rejects_taken_of != offset:
            self._open.unreadable.extend(decoded.rejected)
            self._rejects_taken_of = offset
        self._open.has_moved = True
        while start < len(decoded.events):
            count = self._apply_slice(decoded, start)
            if not count:
                self.next_offset, self.next_index = offset, decoded.indexes[start]
                return False
            start += count
        self.next_offset, self.next_index = offset + 1, 0
        return True

    def _apply_slice(self, decoded: Decoded, start: int) -> int:
        """Apply one slice, or as much of it as fits; returns how many events."""
        events = decoded.events[start : start + _SLICE]
        persons = [person_key(event.user_id, event.anonymous_id, event.event_id) for event in events]
        keys = [event.app_id + SEPARATOR + person for event, person in zip(events, persons, strict=True)]
        self._states.fetch(keys)
        count = self._make_room(keys, decoded.size_bytes // len(decoded.events))
        if count:
            do_step(self._open, EventStep(decoded, start, start + count, keys[:count], persons[:count]))
            self._open.events += count
        return count

    def _begin_group(self) -> None:
        """Do what comes before any event: it follows from the stored states alone, so it is the same after a crash."""
        self._apply_people()
        self._write_owed()

    def _write_owed(self) -> None:
        keys = self._owed.turn(self.next_offset)
        self._states.fetch(keys)
        if count := self._make_room(keys, 0):
            do_step(self._open, OwedStep(keys[:count]))

    def _apply_people(self) -> None:
        """Apply the records whose turn it is, as many as fit."""
        queue = self.people
        while (message := queue.due()) is not None:
            self._open.has_moved = True
            start = queue.start_of(message)
            while start < len(message.records):
                count = self._apply_people_slice(message, start)
                if not count:
                    queue.stop_at(message, start)
                    return
                start += count
            self._open.unreadable.extend(message.rejected)
            queue.finish(message)

    def _apply_people_slice(self, message: DecodedPeople, start: int) -> int:
        """One slice, or as much of it as fits; returns how many records. What carries states is a slice of its own."""
        records = message.records[start : start + _SLICE]
        carriers = [position for position, record in enumerate(records) if carried_bytes(record)]
        records = records[: max(1, carriers[0]) if carriers else len(records)]
        bytes_each = carried_bytes(records[0]) or message.size_bytes // len(message.records)
        keys = [app_of(record) + SEPARATOR + person_of(record) for record in records]
        self._states.fetch(keys)
        count = self._make_room(keys, bytes_each)
        if count:
            do_step(self._open, PeopleStep(message, start, start + count, keys[:count]))
        return count

    def _make_room(self, keys: Sequence[str], bytes_each: int) -> int:
        """Return how many of `keys` fit into the open group, which then counts them in. One always fits into an empty
        group.

        A state grows by no more than the event it takes in (`bytes_each`).
        """
        group = self._open
        count, counted = 0, set()
        for key in keys:
            size = bytes_each
            if key not in group.dirty and key not in counted:
                state_bytes = self._states.size_of(key)
                size += state_bytes + (1 + state_bytes // PAGE_BYTES) * (len(key) + RECORD_OVERHEAD_BYTES)
                counted.add(key)
            if group.size_bytes and group.size_bytes + size > GROUP_BYTES:
                break
            group.size_bytes += size
            count += 1
        return count

    # Closing

    def close_group(self, *, publish: bool) -> Group | None:
        """Fire the timers that are due, publish sessions if asked, and take the group; None if there is nothing.

        Sessions that are over by the time of their group are published with it in any case: their state is written now,
        and would be again if they had to wait.
        What does not fit stays due or pending for the next group. In the middle of a message nobody is visited: what is
        published must not depend on where a message was divided.
        """
        if not self.is_inside_message:
            self._fire_timers()
            if publish:
                self._publish()
            else:
                self._publish_over()
        if not self.has_open_changes:
            return None
        try:
            puts, deletes = self._encode_dirty()
        except Exception as error:
            redo_carefully(self._open, error)
            puts, deletes = self._encode_dirty()
        self.people.decide(self.next_offset)
        group = self._take(puts, deletes)
        self._states.hold(puts, deletes)
        self._begin_group()
        return group

    def stored(self) -> None:
        """The group taken last is in the store."""
        self._states.stored()

    def _fire_timers(self) -> None:
        watermark_ms = self._watermark.value_ms
        self._due.extend(self._timers.take_due(watermark_ms))
        while self._due:
            keys = [self._due.popleft() for _ in range(min(_SLICE, len(self._due)))]
            self._states.fetch(keys)
            due = [key for key in keys if self._is_due(key, watermark_ms)]
            left = self._visit(due)
            if left:
                self._due.extendleft(reversed(left))
                return

    def _is_due(self, key: str, watermark_ms: int) -> bool:
        """A session that went on has moved its timer; it is set again."""
        time_ms = next_timer_ms(self._states.hot[key], self._rules_of(key))
        if time_ms is None or time_ms <= watermark_ms:
            return True
        self._timers.schedule(key, time_ms)
        return False

    def _publish(self) -> None:
        hot, group = self._states.hot, self._open
        visited = {key for step in group.steps if isinstance(step, VisitStep) for key in step.keys}
        changed = [key for key in group.dirty if key not in self._owed.persons and has_unpublished(hot[key])]
        waiting = [key for key in (*self._owed.persons, *changed) if key not in visited]
        for start in range(0, len(waiting), _SLICE):
            keys = waiting[start : start + _SLICE]
            self._states.fetch(keys)
            if self._visit(keys):
                return

    def _publish_over(self) -> None:
        hot, watermark_ms = self._states.hot, self._watermark.value_ms
        over = [key for key in self._open.dirty if is_over(hot[key], self._rules_of(key), watermark_ms)]
        for start in range(0, len(over), _SLICE):
            do_step(self._open, VisitStep(over[start : start + _SLICE]))

    def _visit(self, keys: list[str]) -> list[str]:
        """Visit as many as fit; returns the rest."""
        count = self._make_room(keys, 0)
        if count:
            do_step(self._open, VisitStep(keys[:count]))
        return keys[count:]

    def _encode_dirty(self) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
        group = self._open
        puts: list[tuple[bytes, bytes]] = []
        deletes: list[bytes] = []
        for key in group.dirty:
            written, gone = self._states.encode(key, is_expired=key in group.expired)
            puts += written
            deletes += gone
        return puts, deletes

    def _take(self, puts: list[tuple[bytes, bytes]], deletes: list[bytes]) -> Group:
        group = self._open
        visits = {}
        for key in group.dirty:
            if key in group.expired:
                self._forget(key)
            else:
                visits[key.encode()] = self._note(key, self._states.hot[key], is_stuck=key in group.stuck)
        self._forwarded = group.forwarded
        self._open = self._new_group()
        return Group(
            puts=puts,
            deletes=deletes,
            visits=visits,
            effects=group.effects,
            rejected=group.unreadable + group.refused,
            marker=self._marker(),
            pending_sessions=len(self._owed.persons),
            events=group.events,
            failures=group.failures,
            outbox=group.effects.messages,
        )

    def _marker(self) -> Marker:
        people = self.people
        return Marker(
            self.next_offset,
            self.next_index,
            self._watermark.value_ms,
            people.next_offset,
            people.next_index,
            people.until,
            people.derived_from,
            dict(self._forwarded),
        )

    def _forget(self, key: str) -> None:
        self._states.forget(key)
        self._timers.cancel(key)
        self._owed.forget(key)

    def _note(self, key: str, state: PersonState, *, is_stuck: bool) -> bytes:
        """Either rows are owed, then the person is visited soon; or the next visit is at the timer.

        Returns what is to be kept of this beside the state. A person who is stuck is tried again at a restart.
        """
        rules = self._rules_of(key)
        minute = owing_minute(state)
        if minute is not None and not is_stuck:
            self._owed.note(key, minute)
            return visit_at(minute, rules)
        self._owed.forget(key)
        time_ms = next_timer_ms(state, rules)
        if time_ms is not None:
            earliest_ms = self._watermark.value_ms + (_RETRY_MS if is_stuck else 1)
            self._timers.schedule(key, max(time_ms, earliest_ms))
        return timed_visit(time_ms, rules) if minute is None else visit_at(minute, rules)

    def _rules_of(self, key: str) -> AppRules:
        return self._rules[key[: key.index(SEPARATOR)]]

    def _new_group(self) -> OpenGroup:
        watermark_ms = self._watermark.value_ms
        return OpenGroup(
            self._partition, self._states, self._rules, self._watermark, watermark_ms, dict(self._forwarded)
        )
