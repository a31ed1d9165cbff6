"""Steps applied to states while a group is open. No I/O.

An exception must cost one event and not the partition, and must leave no state half-changed. So the open group
remembers its steps. When one raises, all are undone and done again carefully: with a copy of the state taken before
every event and every wakeup, and what raises left out. Where nothing raises, this costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pipeline.domain.apply import apply_event, end_in_steps, is_expired, publish_sessions, write_owed_rows
from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.orders import apply_order
from pipeline.domain.effects import Effects
from pipeline.domain.identity.stitching import (
    absorb,
    apply_forwarded,
    apply_link,
    hand_over,
    is_moving,
    note_forwarded,
)
from pipeline.domain.sessions.lateness import is_late
from pipeline.domain.state import PersonState, decode_state, encode_state
from pipeline.stream.decode import DecodedEvents, reject_event
from pipeline.stream.identity.messages import DecodedPeople, reject_record
from pipeline.stream.partition.persons import Persons
from schemas.events import StreamEvent
from schemas.facts import RejectedRow, encode_rows
from schemas.people import Forwarded, Journey, Link, PeopleRecord

MAX_JOURNEY_BYTES: Final = 5 * 1024 * 1024
"""Maximum size of a journey: in base64 it must fit into a message."""


class EventStep(NamedTuple):
    """Apply `events[start:stop]` of a message; `keys` and `persons` are theirs."""

    decoded: DecodedEvents
    start: int
    stop: int
    keys: list[str]
    persons: list[str]


class PeopleStep(NamedTuple):
    """Apply `records[start:stop]` of a message of `people`; `keys` are theirs."""

    decoded: DecodedPeople
    start: int
    stop: int
    keys: list[str]


class WakeupStep(NamedTuple):
    """Look at persons without an event: publish their sessions, or find that they have expired."""

    keys: list[str]


class OwedStep(NamedTuple):
    """Write rows of conversions that earlier groups have left owed."""

    keys: list[str]


Step = EventStep | PeopleStep | WakeupStep | OwedStep


@dataclass(slots=True)
class Outcome:
    """Outcome of the steps of a group, beside the states."""

    forwarded: dict[int, tuple[int, int]]
    """Per partition of `events`: the place of the last event forwarded from there that was applied."""
    effects: Effects = field(default_factory=Effects)
    expired: set[str] = field(default_factory=set)
    refused: list[RejectedRow] = field(default_factory=list)
    """Events the domain raised on."""
    stuck: set[str] = field(default_factory=set)
    """Persons whose wakeup raised."""
    failures: list[str] = field(default_factory=list)


class Application:
    """Applies steps to states, which must have been fetched. Raises what the domain raises, half-way through a step."""

    def __init__(self, persons: Persons, forwarded: Mapping[int, tuple[int, int]]) -> None:
        """`forwarded`: of the groups before."""
        self.outcome = Outcome(dict(forwarded))
        self._persons = persons

    def do(self, step: Step) -> None:
        if isinstance(step, EventStep):
            self._apply(step)
        elif isinstance(step, PeopleStep):
            for record, key in zip(step.decoded.records[step.start : step.stop], step.keys, strict=True):
                self._merge(record, key)
        else:
            act = self._wake if isinstance(step, WakeupStep) else self._write_owed
            for key in step.keys:
                act(key)

    def _apply(self, step: EventStep) -> None:
        """The hot path of the whole worker."""
        persons, effects = self._persons, self.outcome.effects
        hot, rules, watermark, observe = persons.states.hot, persons.rules, persons.watermark, persons.watermark.observe
        partition, offset = persons.partition, step.decoded.place.offset
        events = step.decoded.records[step.start : step.stop]
        indexes = step.decoded.indexes[step.start : step.stop]
        for event, index, key, person in zip(events, indexes, step.keys, step.persons, strict=True):
            observe(event.timestamp_ms, event.received_us // 1000)
            state, at_ms = hot[key], watermark.value_ms
            if state.links is not None and state.links.is_handed_over:
                self._forward(state, event, offset, index)
            else:
                place, app_id = (partition, offset, index), event.app_id
                apply_event(PersonContext(state, app_id, person, rules[app_id], at_ms, effects, place), event)

    def _forward(self, state: PersonState, event: StreamEvent, offset: int, index: int) -> None:
        """To the user whose journey this anonymous person's has become; duplicates too: the ids seen went there."""
        assert state.links is not None
        persons, received_s = self._persons, event.received_us // 1_000_000
        late = is_late(state, event.timestamp_ms, received_s, persons.rules[event.app_id], persons.watermark.value_ms)
        note_forwarded(state, received_s)
        forwarded = Forwarded(state.links.users[0], event, late, persons.partition, offset, index)
        self.outcome.effects.messages.append(forwarded)

    def _merge(self, record: PeopleRecord, key: str) -> None:
        if isinstance(record, Link):
            self._link(record, self._persons.states.hot[key])
        elif isinstance(record, Journey):
            absorb(self._persons.context(key, self.outcome.effects), record.state, record.anonymous_id)
        elif not isinstance(record, Forwarded):
            apply_order(self._persons.context(key, self.outcome.effects), record)
        elif self._is_new(record):
            place = (record.partition, record.offset, record.index)
            apply_forwarded(self._persons.context(key, self.outcome.effects, place), record.event, record.is_late)

    def _link(self, record: Link, state: PersonState) -> None:
        """The journey is handed over at once. The state follows from the order of the logs alone, so it is the same
        when it is sent again after a crash."""
        effects = self.outcome.effects
        apply_link(state, record, effects)
        if is_moving(state):
            journey = hand_over(state)
            if len(journey) > MAX_JOURNEY_BYTES:
                raise ValueError(f"a journey of {len(journey)} bytes is too large to be handed over")
            if journey:
                effects.messages.append(Journey(record.app_id, record.anonymous_id, record.user_id, journey))

    def _is_new(self, record: Forwarded) -> bool:
        """The events forwarded from one partition come in the order of their places, and again after a crash there."""
        forwarded, place = self.outcome.forwarded, (record.offset, record.index)
        if place <= forwarded.get(record.partition, (-1, 0)):
            return False
        forwarded[record.partition] = place
        return True

    def _wake(self, key: str) -> None:
        context = self._persons.context(key, self.outcome.effects)
        if is_expired(context.state, context.rules, context.watermark_ms):
            if end_in_steps(context):
                self.outcome.expired.add(key)
        else:
            publish_sessions(context)

    def _write_owed(self, key: str) -> None:
        write_owed_rows(self._persons.context(key, self.outcome.effects))


class CarefulApplication(Application):
    """An application that leaves out what raises, and notes it."""

    def do(self, step: Step) -> None:
        if isinstance(step, EventStep):
            self._apply(step)
        elif isinstance(step, PeopleStep):
            self._merge_each(step)
        else:
            act = self._wake if isinstance(step, WakeupStep) else self._write_owed
            for key in step.keys:
                if self._attempt(key, act, key) is not None:
                    self.outcome.stuck.add(key)

    def _apply(self, step: EventStep) -> None:
        place = step.decoded.place
        for position, key in zip(range(step.start, step.stop), step.keys, strict=True):
            event, index = step.decoded.records[position], step.decoded.indexes[position]
            self._persons.watermark.observe(event.timestamp_ms, event.received_us // 1000)
            error = self._attempt(key, self._apply_one, key, event, place.offset, index)
            if error is not None:
                self.outcome.refused.append(reject_event(place, index, event, error))

    def _apply_one(self, key: str, event: StreamEvent, offset: int, index: int) -> None:
        state = self._persons.states.hot[key]
        if state.links is not None and state.links.is_handed_over:
            self._forward(state, event, offset, index)
        else:
            place = (self._persons.partition, offset, index)
            apply_event(self._persons.context(key, self.outcome.effects, place), event)

    def _merge_each(self, step: PeopleStep) -> None:
        place = step.decoded.place
        for position, key in zip(range(step.start, step.stop), step.keys, strict=True):
            record, index = step.decoded.records[position], step.decoded.indexes[position]
            error = self._attempt(key, self._merge, record, key)
            if error is not None:
                self.outcome.refused.append(reject_record(place, index, record, error))

    def _attempt(self, key: str, action: Callable[..., None], *arguments: object) -> str | None:
        """Do it wholly or not at all: state and rows must also be encodable. The error's text if it was not done."""
        hot = self._persons.states.hot
        before, written = encode_state(hot[key]), self.outcome.effects.lists()
        lengths = list(map(len, written))
        try:
            action(*arguments)
            encode_state(hot[key])
            for rows, length in zip(written, lengths, strict=True):
                encode_rows(rows[length:])
        except MemoryError:
            raise
        except Exception as error:
            hot[key] = decode_state(before)
            for rows, length in zip(written, lengths, strict=True):
                del rows[length:]
            text = f"{type(error).__name__}: {error}"[:500]
            self.outcome.failures.append(text)
            return text
        return None
