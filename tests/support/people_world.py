"""Random histories of several people of one app, and partitions that work them off as the stream's workers do.

Every partition has a log of events and a log of `people`, and a worker that applies them in groups as the docstring of
`pipeline.domain.identity.stitching` demands. What a group brings about is out before the group is committed; a crash
in between forgets the group and not what is out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from zlib import crc32

import msgspec
from histories import BROWSING, BUYING, DAY_MS, HOUR_MS, MIDNIGHT_MS, Ledger, a_single_event, apps
from hypothesis import strategies as st
from reference_lateness import SentBefore

from pipeline.domain.apply import apply_event, owes_rows, publish_sessions, write_owed_rows
from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.orders import apply_order
from pipeline.domain.effects import Effects
from pipeline.domain.identity import stitching
from pipeline.domain.identity.stitching import LinkOutcome
from pipeline.domain.rules import AppRules, compile_rules
from pipeline.domain.sessions import lateness
from pipeline.domain.state import PersonState, decode_state, encode_state, new_state
from pipeline.domain.watermark import Watermark
from pipeline.stream.identity.messages import person_of
from schemas.control import App
from schemas.events import StreamEvent
from schemas.people import Forwarded, Journey, Link, PeopleRecord
from schemas.persons import person_key

SPAN_MS = 29 * DAY_MS
"""Within what the archive keeps, whatever the partitions' watermarks are."""
SOMEBODY = [("", ""), ("u1", ""), ("u2", ""), ("", "a1"), ("", "a1"), ("", "a2"), ("", "a3")]
BOTH = [("u1", "a1"), ("u1", "a2"), ("u2", "a2"), ("u2", "a3"), ("u2", "a1")]


@dataclass(frozen=True)
class Crowd:
    app: App
    arrivals: list[StreamEvent]
    """In order of acceptance, repeats included, some beyond the lateness, some days old."""
    partitions: int
    out_of_orderness_ms: int
    settled_ms: int
    """Time by which all watermarks go on after the last event."""


@st.composite
def crowds(draw: st.DrawFn, max_events: int = 18) -> Crowd:
    app = draw(apps())
    lateness_ms, gap_ms = app.attribution.allowed_lateness_seconds * 1000, app.attribution.session_gap_seconds * 1000
    events = draw(_events(max_events, gap_ms))
    imports = st.sampled_from([0, 0, HOUR_MS, DAY_MS, 2 * DAY_MS, 9 * DAY_MS, 30 * DAY_MS])
    delays = draw(st.sampled_from([st.just(0), st.integers(0, lateness_ms), st.integers(0, 2 * lateness_ms), imports]))
    arriving = [(event.timestamp_ms + draw(delays), place, event) for place, event in enumerate(events)]
    for event in draw(st.lists(st.sampled_from(events), max_size=3)):
        first_ms = next(at_ms for at_ms, _, known in arriving if known is event)
        arriving.append((first_ms + draw(st.sampled_from([0, HOUR_MS, 3 * DAY_MS])), len(arriving), event))
    arriving.sort(key=lambda item: item[:2])
    arrivals = [msgspec.structs.replace(event, received_us=at_ms * 1000) for at_ms, _, event in arriving]
    settled_ms = draw(st.sampled_from([0, HOUR_MS, lateness_ms, 3 * DAY_MS]))
    return Crowd(app, arrivals, draw(st.integers(1, 3)), draw(st.sampled_from([0, 60_000])), settled_ms)


@st.composite
def logins(draw: st.DrawFn) -> Crowd:
    """One person before and after a login, within six days; some events are sent again with the user's id added."""
    crowd = draw(crowds(max_events=12))
    start_ms = min(event.timestamp_ms for event in crowd.arrivals)
    arriving = []
    for place, event in enumerate({event.event_id: event for event in crowd.arrivals}.values()):
        user_id = draw(st.sampled_from(["", "", "u1"]))
        at_ms = start_ms + (event.timestamp_ms - start_ms) % (3 * DAY_MS)
        event = msgspec.structs.replace(event, user_id=user_id, anonymous_id="a1", timestamp_ms=at_ms)
        arriving.append((at_ms, place, event))
        if not user_id and draw(st.booleans()):
            again = msgspec.structs.replace(event, user_id="u1")
            arriving.append((at_ms + draw(st.sampled_from([0, 1, 1000, DAY_MS])), place + 1000, again))
    arriving.sort(key=lambda item: item[:2])
    arrivals = [msgspec.structs.replace(event, received_us=at_ms * 1000) for at_ms, _, event in arriving]
    return replace(crowd, arrivals=arrivals)


@st.composite
def _events(draw: st.DrawFn, max_events: int, gap_ms: int) -> list[StreamEvent]:
    short = [0, 0, 1, 60_000, gap_ms // 3, gap_ms - 1]
    chain = [gap_ms // 2, gap_ms - 1, gap_ms - 1, 0]
    mixed = [*short, *chain, gap_ms, gap_ms + 1, DAY_MS]
    days = [0, 1, gap_ms - 1, gap_ms, DAY_MS, 5 * DAY_MS]
    steps = st.sampled_from(draw(st.sampled_from([short, chain, mixed, days])))
    who = st.sampled_from(draw(st.sampled_from([SOMEBODY + BOTH, SOMEBODY * 2 + BOTH, [("", "a1"), ("u1", "a1")]])))
    names = BUYING if draw(st.booleans()) else BROWSING
    count = draw(st.integers(1, max_events))
    numbers = draw(st.permutations(range(count)))
    start_ms = at_ms = MIDNIGHT_MS - draw(st.sampled_from([0, 1, HOUR_MS, 9 * HOUR_MS]))
    events = []
    for number in numbers:
        at_ms = min(at_ms + draw(steps), start_ms + SPAN_MS)
        user_id, anonymous_id = draw(who)
        event = a_single_event(draw, f"e{number}", user_id, at_ms, names)
        events.append(msgspec.structs.replace(event, anonymous_id=anonymous_id))
    return events


@dataclass
class Group:
    """Changes that are applied and not committed."""

    states: dict[str, PersonState] = field(default_factory=dict)
    effects: Effects = field(default_factory=Effects)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass
class Partition:
    """`events` and `people` are its logs; the rest is what its changelog holds."""

    number: int
    rules: AppRules
    out_of_orderness_ms: int
    events: list[StreamEvent] = field(default_factory=list)
    people: list[PeopleRecord] = field(default_factory=list)
    states: dict[str, bytes] = field(default_factory=dict)
    next_event: int = 0
    next_record: int = 0
    planned_records: int = 0
    """The next group applies `people` up to here, before anything else."""
    old_events: int = 0
    """The worker before may have applied these; until they are committed, nothing new is planned."""
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Position of each partition: the last place in `events` applied from what it forwarded."""
    watermark_ms: int = 0

    def apply(self, count: int, *, publish: bool) -> tuple[Group, int, int]:
        """The group, with the position in `events` and the watermark after it."""
        group = Group(places=dict(self.places))
        watermark = Watermark(self.out_of_orderness_ms, self.watermark_ms)
        for record in self.people[self.next_record : self.planned_records]:
            self._apply_record(group, record, watermark.value_ms)
        self.pay(group)
        stop = min(self.next_event + count, len(self.events))
        for offset in range(self.next_event, stop):
            event = self.events[offset]
            watermark.observe(event.timestamp_ms, event.received_us // 1000)
            self._apply_event(group, event, offset, watermark.value_ms)
        if publish:
            self.publish(group, watermark.value_ms)
        return group, stop, watermark.value_ms

    def commit(self, group: Group, next_event: int, watermark_ms: int, planned: int) -> None:
        self.states |= {person: encode_state(state) for person, state in group.states.items()}
        self.next_event, self.watermark_ms, self.places = next_event, watermark_ms, group.places
        self.next_record, self.planned_records = self.planned_records, planned

    def pay(self, group: Group) -> bool:
        """Whether rows of conversions were owed, some of which are written now."""
        owing = [person for person in {**self.states, **group.states} if owes_rows(self._state(group, person))]
        for person in owing:
            write_owed_rows(PersonContext(self._state(group, person), "shop", person, self.rules, 0, group.effects))
        return bool(owing)

    def publish(self, group: Group, watermark_ms: int) -> None:
        for person in {**self.states, **group.states}:
            state = self._state(group, person)
            publish_sessions(PersonContext(state, "shop", person, self.rules, watermark_ms, group.effects))

    def _state(self, group: Group, person: str) -> PersonState:
        if person not in group.states:
            data = self.states.get(person)
            group.states[person] = new_state() if data is None else decode_state(data)
        return group.states[person]

    def _apply_event(self, group: Group, event: StreamEvent, offset: int, watermark_ms: int) -> None:
        person = person_key(event.user_id, event.anonymous_id, event.event_id)
        state = self._state(group, person)
        if stitching.is_moved(state):
            stitching.note_forwarded(state, event.received_us // 1_000_000)
            user_id, received_s = stitching.owner_of(state), event.received_us // 1_000_000
            is_late = lateness.is_late(state, event.timestamp_ms, received_s, self.rules, watermark_ms)
            group.effects.messages.append(Forwarded(user_id, event, is_late, self.number, offset, 0))
        else:
            apply_event(
                PersonContext(
                    state, event.app_id, person, self.rules, watermark_ms, group.effects, (self.number, offset, 0)
                ),
                event,
            )

    def _apply_record(self, group: Group, record: PeopleRecord, watermark_ms: int) -> None:
        if isinstance(record, Link):
            self._apply_link(group, record)
        elif isinstance(record, Journey):
            key = "u:" + record.user_id
            context = PersonContext(self._state(group, key), "shop", key, self.rules, watermark_ms, group.effects)
            stitching.absorb(context, record.state, record.anonymous_id)
        elif isinstance(record, Forwarded):
            self._apply_forwarded(group, record, watermark_ms)
        else:
            apply_order(
                PersonContext(
                    self._state(group, person_of(record)), record.app_id, record.person, self.rules, 0, group.effects
                ),
                record,
            )

    def _apply_link(self, group: Group, record: Link) -> None:
        state = self._state(group, "a:" + record.anonymous_id)
        outcome = stitching.apply_link(state, record, group.effects)
        if outcome is LinkOutcome.NEW_OWNER:
            journey = stitching.hand_over(state)
            if journey:
                moved = Journey(record.app_id, record.anonymous_id, record.user_id, journey)
                group.effects.messages.append(moved)

    def _apply_forwarded(self, group: Group, record: Forwarded, watermark_ms: int) -> None:
        place = (record.offset, record.index)
        if place <= group.places.get(record.partition, (-1, -1)):
            return
        group.places[record.partition] = place
        person = "u:" + record.user_id
        whole = (record.partition, *place)
        state = self._state(group, person)
        stitching.apply_forwarded(
            PersonContext(state, record.event.app_id, person, self.rules, watermark_ms, group.effects, whole),
            record.event,
            record.is_late,
        )


@dataclass
class World:
    """`random` decides who goes on when, how groups are cut, what is seen how late, and who crashes where."""

    crowd: Crowd
    random: Random
    has_crashes: bool = True
    ledger: Ledger = field(default_factory=Ledger)
    partitions: list[Partition] = field(default_factory=list)
    final_watermark_ms: int = 0
    """Final watermark of all partitions, once it has run."""

    def __post_init__(self) -> None:
        rules = compile_rules(self.crowd.app)
        self.partitions = [
            Partition(number, rules, self.crowd.out_of_orderness_ms) for number in range(self.crowd.partitions)
        ]

    def run(self) -> Ledger:
        waiting = list(reversed(self.crowd.arrivals))
        eagerness = self.random.choice([0.2, 0.5, 0.9])
        while waiting or any(self._is_behind(partition) for partition in self.partitions):
            if waiting and self.random.random() < eagerness:
                self._accept(waiting.pop())
            else:
                self._work(self.random.choice(self.partitions))
        self._settle()
        return self.ledger

    def partition_of(self, person: str) -> Partition:
        return self.partitions[crc32(person.encode()) % len(self.partitions)]

    def states(self) -> Iterator[tuple[str, PersonState]]:
        for partition in self.partitions:
            for person, data in partition.states.items():
                yield person, decode_state(data)

    def _accept(self, event: StreamEvent) -> None:
        person = person_key(event.user_id, event.anonymous_id, event.event_id)
        self.partition_of(person).events.append(event)
        if event.user_id and event.anonymous_id:
            ids = (event.app_id, event.anonymous_id, event.user_id, event.event_id)
            record = Link(*ids, event.timestamp_ms, event.received_us)
            self.partition_of("a:" + event.anonymous_id).people.append(record)

    def _is_behind(self, partition: Partition) -> bool:
        return partition.next_event < len(partition.events) or partition.next_record < len(partition.people)

    def _work(self, partition: Partition) -> None:
        count = self.random.choice([0, 1, 2, 5, 30])
        group, next_event, watermark_ms = partition.apply(count, publish=self.random.random() < 0.4)
        is_lost = self.has_crashes and self.random.random() < 0.25
        count = len(group.effects.messages)
        self._send(group, self.random.randint(0, count) if is_lost else count)
        if is_lost:
            partition.old_events = len(partition.events)
        else:
            planned = partition.planned_records
            if next_event >= partition.old_events:
                planned = self.random.randint(planned, len(partition.people))
            partition.commit(group, next_event, watermark_ms, planned)

    def _send(self, group: Group, count: int) -> None:
        for record in group.effects.messages[:count]:
            wire: Any = msgspec.json.decode(msgspec.json.encode(record), type=PeopleRecord)
            self.partition_of(person_of(record)).people.append(wire)
        self.ledger.add(group.effects)

    def _settle(self) -> None:
        watermark_ms = max(partition.watermark_ms for partition in self.partitions) + self.crowd.settled_ms
        self.final_watermark_ms = watermark_ms
        for partition in self.partitions:
            group = Group(places=partition.places)
            while partition.pay(group):
                pass
            partition.publish(group, watermark_ms)
            self.ledger.add(group.effects)
            partition.commit(group, partition.next_event, watermark_ms, partition.planned_records)


def late_ids(world: World) -> set[str]:
    """Return the ids of events whose first coming was late, by the watermark of the partition it came to."""
    is_late: dict[int, bool] = {}
    for partition in world.partitions:
        watermark = Watermark(partition.out_of_orderness_ms)
        persons: dict[str, SentBefore] = {}
        for event in partition.events:
            watermark.observe(event.timestamp_ms, event.received_us // 1000)
            person = person_key(event.user_id, event.anonymous_id, event.event_id)
            sent_before = persons.setdefault(person, SentBefore(world.crowd.app))
            is_late[id(event)] = sent_before.is_late(event, watermark.value_ms)
    first = {event.event_id: event for event in reversed(world.crowd.arrivals)}
    return {event_id for event_id, event in first.items() if is_late[id(event)]}
