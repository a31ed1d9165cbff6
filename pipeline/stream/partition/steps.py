"""Steps applied to states while a group is open, and their repetition when the domain raises. No I/O.

An exception must cost one event and not the partition, and must leave no state half-changed. So the open group
remembers its steps. When one raises, all are undone and done again carefully: with a copy of the state taken before
every event and every visit, and what raises left out. Where nothing raises, this costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pipeline.domain.apply import apply_event, end_in_steps, is_expired, publish_sessions, write_owed_rows
from pipeline.domain.context import NO_PLACE, PersonContext, Place
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
from pipeline.domain.rules import AppRules
from pipeline.domain.sessions.lateness import is_late
from pipeline.domain.state import PersonState, decode_state, encode_state
from pipeline.domain.watermark import Watermark
from pipeline.stream.decode import Decoded, reject_event
from pipeline.stream.identity.messages import DecodedPeople, reject_record
from pipeline.stream.partition.state_cache import LiveStates
from schemas.events import StreamEvent
from schemas.facts import RejectedRow, encode_rows
from schemas.people import Forwarded, Journey, Link, PeopleRecord

MAX_JOURNEY_BYTES: Final = 5 * 1024 * 1024
"""Maximum size of a journey: in base64 it must fit into a message."""
SEPARATOR: Final = "\x1f"
"""Between app id and person key in a state's key."""


class EventStep(NamedTuple):
    """Apply `events[start:stop]` of a message; `keys` and `persons` are theirs."""

    decoded: Decoded
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


class VisitStep(NamedTuple):
    """Look at persons without an event: publish their sessions, or find that they have expired."""

    keys: list[str]


class OwedStep(NamedTuple):
    """Write rows of conversions that earlier groups have left owed."""

    keys: list[str]


Step = EventStep | PeopleStep | VisitStep | OwedStep


@dataclass
class OpenGroup:
    """The changes since the last flush."""

    partition: int
    states: LiveStates
    rules: Mapping[str, AppRules]
    watermark: Watermark
    watermark_before_ms: int
    forwarded_before: Mapping[int, tuple[int, int]]
    effects: Effects = field(default_factory=Effects)
    dirty: dict[str, None] = field(default_factory=dict)
    """Keys of changed states, in the order they were first changed."""
    expired: set[str] = field(default_factory=set)
    steps: list[Step] = field(default_factory=list)
    forwarded: dict[int, tuple[int, int]] = field(init=False)
    """Per partition of `events`: the place of the last event forwarded from there that was applied."""
    unreadable: list[RejectedRow] = field(default_factory=list)
    """Lines that are no events."""
    refused: list[RejectedRow] = field(default_factory=list)
    """Events the domain raised on."""
    stuck: set[str] = field(default_factory=set)
    """Persons whose visit raised."""
    failures: list[str] = field(default_factory=list)
    events: int = 0
    size_bytes: int = 0
    """An upper bound of the encoded states, as far as known."""
    has_moved: bool = False
    """The position in a source has changed."""

    def __post_init__(self) -> None:
        self.forwarded = dict(self.forwarded_before)


def do_step(group: OpenGroup, step: Step) -> None:
    """The states of the step's keys must have been fetched."""
    group.steps.append(step)
    group.dirty.update(dict.fromkeys(step.keys))
    try:
        if isinstance(step, EventStep):
            _apply(group, step)
        elif isinstance(step, PeopleStep):
            for record, key in zip(step.decoded.records[step.start : step.stop], step.keys, strict=True):
                _merge(group, record, key)
        else:
            visit = _visit if isinstance(step, VisitStep) else _write_owed
            for key in step.keys:
                visit(group, key)
    except Exception as error:
        redo_carefully(group, error)


def _apply(group: OpenGroup, step: EventStep) -> None:
    """The hot path of the whole worker."""
    hot, rules, watermark, effects = group.states.hot, group.rules, group.watermark, group.effects
    partition, offset, observe = group.partition, step.decoded.place.offset, group.watermark.observe
    events = step.decoded.events[step.start : step.stop]
    indexes = step.decoded.indexes[step.start : step.stop]
    for event, index, key, person in zip(events, indexes, step.keys, step.persons, strict=True):
        observe(event.timestamp_ms, event.received_us // 1000)
        state, at_ms = hot[key], watermark.value_ms
        if state.links is not None and state.links.is_handed_over:
            _forward(group, state, event, offset, index)
        else:
            place, app_id = (partition, offset, index), event.app_id
            apply_event(PersonContext(state, app_id, person, rules[app_id], at_ms, effects, place), event)


def _forward(group: OpenGroup, state: PersonState, event: StreamEvent, offset: int, index: int) -> None:
    """To the user whose journey this anonymous person's has become; duplicates too, for the ids seen went there."""
    assert state.links is not None
    received_s = event.received_us // 1_000_000
    late = is_late(state, event.timestamp_ms, received_s, group.rules[event.app_id], group.watermark.value_ms)
    note_forwarded(state, received_s)
    group.effects.messages.append(Forwarded(state.links.users[0], event, late, group.partition, offset, index))


def _merge(group: OpenGroup, record: PeopleRecord, key: str) -> None:
    state = group.states.hot[key]
    if isinstance(record, Link):
        _link(group, record, state)
    elif isinstance(record, Journey):
        absorb(_context(group, key), record.state, record.anonymous_id)
    elif not isinstance(record, Forwarded):
        apply_order(_context(group, key), record)
    elif _is_new(group, record):
        context = _context(group, key, (record.partition, record.offset, record.index))
        apply_forwarded(context, record.event, record.is_late)


def _link(group: OpenGroup, record: Link, state: PersonState) -> None:
    """The journey is handed over at once. The state follows from the order of the logs alone, so it is the same when it
    is sent again after a crash."""
    apply_link(state, record, group.effects)
    if is_moving(state):
        journey = hand_over(state)
        if len(journey) > MAX_JOURNEY_BYTES:
            raise ValueError(f"a journey of {len(journey)} bytes is too large to be handed over")
        if journey:
            moved = Journey(record.app_id, record.anonymous_id, record.user_id, journey)
            group.effects.messages.append(moved)


def _is_new(group: OpenGroup, record: Forwarded) -> bool:
    """The events forwarded from one partition come in the order of their places, and again after a crash there."""
    place = (record.offset, record.index)
    if place <= group.forwarded.get(record.partition, (-1, 0)):
        return False
    group.forwarded[record.partition] = place
    return True


def _visit(group: OpenGroup, key: str) -> None:
    context = _context(group, key)
    if is_expired(context.state, context.rules, context.watermark_ms):
        if end_in_steps(context):
            group.expired.add(key)
    else:
        publish_sessions(context)


def _write_owed(group: OpenGroup, key: str) -> None:
    write_owed_rows(_context(group, key))


def _context(group: OpenGroup, key: str, place: Place = NO_PLACE) -> PersonContext:
    app_id, _, person = key.partition(SEPARATOR)
    state, rules, at_ms = group.states.hot[key], group.rules[app_id], group.watermark.value_ms
    return PersonContext(state, app_id, person, rules, at_ms, group.effects, place)


def redo_carefully(group: OpenGroup, error: Exception) -> None:
    """Undo the group and do its steps again one by one, leaving out what raises."""
    if isinstance(error, MemoryError):
        raise error
    group.watermark.value_ms = group.watermark_before_ms
    group.effects, group.expired, group.stuck = Effects(), set(), set()
    group.refused, group.failures = [], []
    group.forwarded = dict(group.forwarded_before)
    for key in group.dirty:
        group.states.forget(key)
    group.states.fetch(group.dirty)
    for step in group.steps:
        if isinstance(step, EventStep):
            _apply_carefully(group, step)
        elif isinstance(step, PeopleStep):
            _merge_carefully(group, step)
        else:
            _visit_carefully(group, step)


def _apply_carefully(group: OpenGroup, step: EventStep) -> None:
    place = step.decoded.place
    for position, key in zip(range(step.start, step.stop), step.keys, strict=True):
        event, index = step.decoded.events[position], step.decoded.indexes[position]
        group.watermark.observe(event.timestamp_ms, event.received_us // 1000)
        error = _attempt(group, key, _application(group, event, key, place.offset, index))
        if error is not None:
            group.refused.append(reject_event(place, index, event, error))


def _application(
    group: OpenGroup, event: StreamEvent, key: str, offset: int, index: int
) -> Callable[[PersonState], None]:
    def apply(state: PersonState) -> None:
        if state.links is not None and state.links.is_handed_over:
            _forward(group, state, event, offset, index)
        else:
            apply_event(_context(group, key, (group.partition, offset, index)), event)

    return apply


def _merge_carefully(group: OpenGroup, step: PeopleStep) -> None:
    place = step.decoded.place
    for position, key in zip(range(step.start, step.stop), step.keys, strict=True):
        record, index = step.decoded.records[position], step.decoded.indexes[position]
        error = _attempt(group, key, lambda _state, record=record, key=key: _merge(group, record, key))  # type: ignore[misc]
        if error is not None:
            group.refused.append(reject_record(place, index, record, error))


def _visit_carefully(group: OpenGroup, step: VisitStep | OwedStep) -> None:
    visit = _visit if isinstance(step, VisitStep) else _write_owed
    for key in step.keys:
        if _attempt(group, key, lambda _state, key=key: visit(group, key)) is not None:  # type: ignore[misc]
            group.stuck.add(key)


def _attempt(group: OpenGroup, key: str, action: Callable[[PersonState], None]) -> str | None:
    """Do it wholly or not at all: state and rows must also be encodable. The error's text if it was not done."""
    before = encode_state(group.states.hot[key])
    effects = group.effects
    rows: tuple[list[object], ...] = (
        effects.sessions,  # type: ignore[assignment]
        effects.touches,
        effects.conversions,
        effects.attributions,
        effects.marks,
        effects.links,
        effects.messages,
    )
    lengths = [len(each) for each in rows]
    try:
        action(group.states.hot[key])
        encode_state(group.states.hot[key])
        for each, length in zip(rows, lengths, strict=True):
            encode_rows(each[length:])
    except MemoryError:
        raise
    except Exception as error:
        group.states.hot[key] = decode_state(before)
        for each, length in zip(rows, lengths, strict=True):
            del each[length:]
        text = f"{type(error).__name__}: {error}"[:500]
        group.failures.append(text)
        return text
    return None
