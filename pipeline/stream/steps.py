"""What is done to states while a group is open, and how it is done again when the domain raises. No I/O.

An exception must cost one event and not the partition, and must leave no state half-changed. So the open group
remembers its steps. When one raises, all are undone and done again carefully: with a copy of the state taken before
every event and every visit, and what raises left out. Where nothing raises, this costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pipeline.domain.effects import Effects
from pipeline.domain.journey import apply_event, is_expired, publish_sessions
from pipeline.domain.rules import AppRules
from pipeline.domain.state import PersonState, decode_state, encode_state
from pipeline.domain.watermark import Watermark
from pipeline.stream.decode import Decoded, reject_event
from pipeline.stream.live_states import LiveStates
from schemas.events import StreamEvent
from schemas.facts import RejectedRow, encode_rows

SEPARATOR: Final = "\x1f"
"""Between app id and person key in a state's key."""


class EventStep(NamedTuple):
    """Apply `events[start:stop]` of a message; `keys` and `persons` are theirs."""

    decoded: Decoded
    start: int
    stop: int
    keys: list[str]
    persons: list[str]


class VisitStep(NamedTuple):
    """Look at persons without an event: publish their sessions, or find that they have expired."""

    keys: list[str]


@dataclass
class OpenGroup:
    """The changes since the last flush."""

    partition: int
    states: LiveStates
    rules: Mapping[str, AppRules]
    watermark: Watermark
    watermark_before_ms: int
    effects: Effects = field(default_factory=Effects)
    dirty: dict[str, None] = field(default_factory=dict)
    """Keys of changed states, in the order they were first changed."""
    expired: set[str] = field(default_factory=set)
    steps: list[EventStep | VisitStep] = field(default_factory=list)
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
    """The position in the source has changed."""


def do_step(group: OpenGroup, step: EventStep | VisitStep) -> None:
    """The states of the step's keys must have been fetched."""
    group.steps.append(step)
    group.dirty.update(dict.fromkeys(step.keys))
    try:
        if isinstance(step, EventStep):
            _apply(group, step)
        else:
            for key in step.keys:
                _visit(group, key)
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
        at_ms = watermark.value_ms
        apply_event(hot[key], event, person, rules[event.app_id], at_ms, partition, offset, index, effects)


def _visit(group: OpenGroup, key: str) -> None:
    app_id, _, person = key.partition(SEPARATOR)
    state, rules, watermark_ms = group.states.hot[key], group.rules[app_id], group.watermark.value_ms
    if is_expired(state, rules, watermark_ms):
        group.expired.add(key)
    else:
        publish_sessions(state, app_id, person, rules, watermark_ms, group.effects)


def redo_carefully(group: OpenGroup, error: Exception) -> None:
    """Undo the group and do its steps again one by one, leaving out what raises."""
    if isinstance(error, MemoryError):
        raise error
    group.watermark.value_ms = group.watermark_before_ms
    group.effects, group.expired, group.stuck = Effects(), set(), set()
    group.refused, group.failures = [], []
    for key in group.dirty:
        group.states.forget(key)
    group.states.fetch(group.dirty)
    for step in group.steps:
        if isinstance(step, EventStep):
            _apply_carefully(group, step)
        else:
            _visit_carefully(group, step)


def _apply_carefully(group: OpenGroup, step: EventStep) -> None:
    place = step.decoded.place
    for position, key, person in zip(range(step.start, step.stop), step.keys, step.persons, strict=True):
        event, index = step.decoded.events[position], step.decoded.indexes[position]
        group.watermark.observe(event.timestamp_ms, event.received_us // 1000)
        error = _attempt(group, key, _application(group, event, person, place.offset, index))
        if error is not None:
            group.refused.append(reject_event(place, index, event, error))


def _application(
    group: OpenGroup, event: StreamEvent, person: str, offset: int, index: int
) -> Callable[[PersonState], None]:
    rules, at_ms = group.rules[event.app_id], group.watermark.value_ms
    return lambda state: apply_event(state, event, person, rules, at_ms, group.partition, offset, index, group.effects)


def _visit_carefully(group: OpenGroup, step: VisitStep) -> None:
    for key in step.keys:
        if _attempt(group, key, lambda _state, key=key: _visit(group, key)) is not None:  # type: ignore[misc]
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
