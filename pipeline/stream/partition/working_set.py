"""Working set of one partition: the states, and the group of changes that grows until the next flush. No I/O.

Events are applied at once, in memory, records of `people` when it is their turn (see `stream.identity`);
`close_group` takes everything changed since the last call, as bytes. One group is open, and at most one is closed but
not stored yet (`stored` says when), so a state is always found in memory, in the closed group or in the store, in this
order.

Its parts: `persons` (states, rules, time), `events` and `people` (positions in the sources), `agenda` (next wakeups),
and the open group.
"""

from typing import Final

from pipeline.stream.decode import DecodedEvents
from pipeline.stream.identity.messages import PeopleQueue
from pipeline.stream.partition.agenda import Agenda
from pipeline.stream.partition.changelog import Marker
from pipeline.stream.partition.group import Group
from pipeline.stream.partition.intake import EventIntake, apply_people
from pipeline.stream.partition.open_group import OpenGroup
from pipeline.stream.partition.persons import Persons
from pipeline.stream.partition.steps import OwedStep
from pipeline.stream.partition.waking import fire_timers, publish_over, publish_pending

BEGINNING: Final = Marker(0, 0, 0)


class WorkingSet:
    def __init__(self, persons: Persons, marker: Marker = BEGINNING) -> None:
        """It goes on where the changelog's marker says; the watermark of `persons` is the marker's."""
        self.events = EventIntake(marker.offset, marker.index)
        self.people = PeopleQueue(marker.people_offset, marker.people_index, marker.people_until, marker.derived_from)
        self.agenda = Agenda(persons)
        self._persons = persons
        self._forwarded = marker.forwarded
        self._open = OpenGroup(persons, marker.forwarded)

    def begin(self) -> None:
        """Begin the first group, once everything is restored: what was decided on in `people` comes first."""
        self._begin_group()

    # What is going on

    @property
    def next_offset(self) -> int:
        """The message of `events` to apply next."""
        return self.events.next_offset

    @property
    def watermark_ms(self) -> int:
        return self._persons.watermark.value_ms

    @property
    def pending_sessions(self) -> int:
        """Persons whose sessions have changed since they were last published."""
        return len(self.agenda.owed.persons)

    @property
    def is_inside_message(self) -> bool:
        """A message is applied in part."""
        return self.events.next_index > 0

    @property
    def has_open_changes(self) -> bool:
        return self._open.has_moved or bool(self._open.dirty) or self.people.can_decide(self.next_offset)

    @property
    def open_events(self) -> int:
        """Events in the open group."""
        return self._open.events

    @property
    def live_persons(self) -> int:
        return len(self._persons.states)

    def idle_for(self, elapsed_ms: int) -> None:
        """Move time on after a silence: `elapsed_ms` more of wall-clock time have passed."""
        self._persons.watermark.idle_for(elapsed_ms)

    # Applying

    def apply(self, decoded: DecodedEvents) -> bool:
        """Apply what fits into the open group. False if some is left: flush, then call again with the same message."""
        return not self.people.is_due and self.events.apply(decoded, self._open)

    def _begin_group(self) -> None:
        """Do what comes before any event: it follows from the stored states alone, so it is the same after a crash."""
        apply_people(self.people, self._open)
        self._write_owed()

    def _write_owed(self) -> None:
        keys = self.agenda.owed.turn(self.next_offset)
        self._persons.states.fetch(keys)
        if count := self._open.make_room(keys, 0):
            self._open.do(OwedStep(keys[:count]))

    # Closing

    def close_group(self, *, publish: bool) -> Group | None:
        """Fire the timers that are due, publish sessions if asked, and take the group; None if there is nothing.

        Sessions that are over by the time of their group are published with it in any case. In the middle of a message
        nobody is woken: what is published must not depend on where a message was divided.
        """
        if not self.is_inside_message:
            fire_timers(self._open, self.agenda)
            if publish:
                publish_pending(self._open, self.agenda)
            else:
                publish_over(self._open)
        if not self.has_open_changes:
            return None
        puts, deletes = self._open.encode()
        self.people.decide(self.next_offset)
        group = self._take(puts, deletes)
        self._persons.states.hold(puts, deletes)
        self._begin_group()
        return group

    def stored(self) -> None:
        """The group taken last is in the store."""
        self._persons.states.stored()

    def _take(self, puts: list[tuple[bytes, bytes]], deletes: list[bytes]) -> Group:
        group, outcome = self._open, self._open.outcome
        wakeups = self._note_wakeups(group)
        self._forwarded = outcome.forwarded
        self._open = OpenGroup(self._persons, outcome.forwarded)
        return Group(
            puts=puts,
            deletes=deletes,
            wakeups=wakeups,
            effects=outcome.effects,
            rejected=group.unreadable + outcome.refused,
            marker=self._marker(),
            pending_sessions=self.pending_sessions,
            events=group.events,
            failures=outcome.failures,
            outbox=outcome.effects.messages,
            traceparents=group.traceparents,
        )

    def _note_wakeups(self, group: OpenGroup) -> dict[bytes, bytes]:
        states, outcome, wakeups = self._persons.states, group.outcome, {}
        for key in group.dirty:
            if key in outcome.expired:
                states.forget(key)
                self.agenda.forget(key)
            else:
                is_stuck = key in outcome.stuck
                wakeups[key.encode()] = self.agenda.note(key, states.hot[key], is_stuck=is_stuck)
        return wakeups

    def _marker(self) -> Marker:
        people = self.people
        return Marker(
            self.events.next_offset,
            self.events.next_index,
            self.watermark_ms,
            people.next_offset,
            people.next_index,
            people.until,
            people.derived_from,
            dict(self._forwarded),
        )
