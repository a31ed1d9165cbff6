"""People who log in, over several partitions with real working sets: whatever is interrupted where, the tables are
those of a batch computation that knew from the start whose each anonymous id is."""

from collections import deque
from collections.abc import Iterator, Sequence
from random import Random

import msgspec
import pytest
import stream_traffic
from comparing import assert_same_tables
from histories import Ledger
from reference import Truth, compute, owners_of
from stream_reference import ROWS

from pipeline.domain.context import PersonContext
from pipeline.domain.effects import Effects
from pipeline.domain.watermark import Watermark
from pipeline.stream.decode import MAX_REJECTS_PER_MESSAGE, Place, decode_message
from pipeline.stream.identity.messages import PeopleQueue
from pipeline.stream.identity.messages import decode_message as decode_people_message
from pipeline.stream.partition import open_group, pages, state_cache, steps
from pipeline.stream.partition.changelog import MARKER_KEY, Marker, decode_marker, encode_marker
from pipeline.stream.partition.outputs import packed
from pipeline.stream.partition.persons import Persons
from pipeline.stream.partition.restore import restore
from pipeline.stream.partition.state_cache import LiveStates
from pipeline.stream.partition.stores import MemoryStore
from pipeline.stream.partition.working_set import BEGINNING, WorkingSet
from pipeline.stream.rules_book import RulesBook
from schemas.control import Snapshot
from schemas.events import AcceptedEvent, StreamEvent, decode_stream_event, encode_event
from schemas.facts import RejectedRow
from schemas.people import (
    Forwarded,
    Journey,
    Link,
    OrderClosed,
    OrderCounted,
    OrderRefund,
    PeopleRecord,
    decode_people,
    encode_people,
)
from schemas.topics import Topic

PARTITIONS = 3
LOST_MS = 60_000
DAY_MS = 86_400_000


class Killed(Exception):
    """The worker is gone, and what it had in memory."""


class Stream:
    """A worker on all partitions. `kill_after`: after how many steps of its flushes, counted from the beginning."""

    def __init__(self, random: Random, kill_after: Sequence[int] = ()) -> None:
        self.random = random
        self.kill_after = list(kill_after)
        self.steps = 0
        self.events: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        self.people: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        self.stores = [MemoryStore() for _ in range(PARTITIONS)]
        self.ledger = Ledger()
        self.rejected: dict[str, RejectedRow] = {}
        self.rules = RulesBook()
        self.rules.use(Snapshot({stream_traffic.APP.app_id: stream_traffic.APP}, {}, 0))
        self.working_sets: list[WorkingSet] = []
        self.start()

    def start(self) -> None:
        """What `Assignment.take` does."""
        self.working_sets = []
        for number, store in enumerate(self.stores):
            marker = decode_marker(store.get_many([MARKER_KEY])[0]) or BEGINNING
            states = LiveStates(store.get_many, 50, 1 << 20)
            taken = WorkingSet(Persons(number, states, self.rules, Watermark(LOST_MS, marker.watermark_ms)), marker)
            taken.people.waits_for = len(self.events[number])
            for offset in range(taken.people.next_to_receive, taken.people.until):
                self._receive(taken, number, offset)
            deque(restore(taken.agenda, store), maxlen=0)
            taken.begin()
            self.working_sets.append(taken)

    def run(self, accepted: Sequence[AcceptedEvent]) -> None:
        waiting = list(reversed(accepted))
        while waiting or any(self._is_behind(number) for number in range(PARTITIONS)):
            if waiting and self.random.random() < 0.6:
                self.accept([waiting.pop() for _ in range(min(len(waiting), self.random.choice([1, 2, 5])))])
            try:
                self.work(self.random.randrange(PARTITIONS))
            except Killed:
                self.start()

    def accept(self, accepted: Sequence[AcceptedEvent]) -> None:
        for partition, value in stream_traffic.packed(iter(accepted), 3, PARTITIONS):
            self.events[partition].append(value)
        for partition, value in stream_traffic.links(accepted, PARTITIONS):
            self.people[partition].append(value)

    def work(self, number: int) -> None:
        taken = self.working_sets[number]
        for _ in range(self.random.choice([0, 1, 4])):
            if taken.people.next_to_receive < len(self.people[number]):
                self._receive(taken, number, taken.people.next_to_receive)
        for _ in range(self.random.choice([0, 1, 1, 3])):
            offset = taken.next_offset
            if offset < len(self.events[number]):
                value = self.events[number][offset]
                while not taken.apply(decode_message(value, Place("events", number, offset, 5))):
                    self.flush(number)
        self.flush(number)

    def flush(self, number: int) -> None:
        taken = self.working_sets[number]
        group = taken.close_group(publish=self.random.random() < 0.4)
        if group is None:
            return
        for topic, target, value in packed(group, number, PARTITIONS):
            self._step()
            self._write(topic, target, value)
        self._step()
        puts = [(MARKER_KEY, encode_marker(group.marker)), *group.puts]
        self.stores[number].write(puts, group.deletes, (self.stores[number].offset or 0) + 1, group.wakeups)
        self._step()
        taken.stored()

    def _step(self) -> None:
        self.steps += 1
        if self.kill_after and self.steps == self.kill_after[0]:
            self.kill_after.pop(0)
            raise Killed

    def _write(self, topic: Topic, target: int, value: bytes) -> None:
        if topic is Topic.PEOPLE:
            self.people[target].append(value)
        elif topic is Topic.REJECTED:
            for row in msgspec.json.Decoder(RejectedRow).decode_lines(value):
                self.rejected[row.reject_id] = row
        else:
            effects = Effects()
            name, row_type = ROWS[topic]
            getattr(effects, name).extend(msgspec.json.Decoder(row_type).decode_lines(value))
            self.ledger.add(effects)

    def _receive(self, taken: WorkingSet, number: int, offset: int) -> None:
        taken.people.add(decode_people_message(self.people[number][offset], Place("people", number, offset, 5)))

    def _is_behind(self, number: int) -> bool:
        taken = self.working_sets[number]
        return (
            taken.next_offset < len(self.events[number])
            or taken.people.next_offset < len(self.people[number])
            or taken.has_open_changes
            or taken.pending_sessions > 0
        )


def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly every state is in pages."""
    monkeypatch.setattr(state_cache, "WHOLE_BYTES", 200)
    for name, value in (("WHOLE_BYTES", 200), ("PAGE_BYTES", 128), ("HEAD_BYTES", 100), ("_SHORTEST", 16)):
        monkeypatch.setattr(pages, name, value)


def history(count: int = 90, persons: int = 6, seed: int = 5) -> list[AcceptedEvent]:
    traffic = stream_traffic.events(count, persons, seed=seed, span_ms=6 * DAY_MS)
    made = stream_traffic.with_refunds(stream_traffic.with_logins(traffic, 0.8, seed=seed), seed)
    return [*made, *stream_traffic.closers(PARTITIONS, stream_traffic.START_MS + 9 * DAY_MS)]


def as_stream_events(accepted: Sequence[AcceptedEvent]) -> Iterator[StreamEvent]:
    return (decode_stream_event(encode_event(event)) for event in accepted)


def truth_of(accepted: Sequence[AcceptedEvent]) -> Truth:
    """What a batch computes that knows every event."""
    events = list(as_stream_events(accepted))
    watermark_ms = stream_traffic.START_MS + 9 * DAY_MS - LOST_MS
    return compute(events, stream_traffic.APP, watermark_ms, (), owners_of(events))


def assert_true(stream: Stream, accepted: Sequence[AcceptedEvent], truth: Truth | None = None) -> None:
    """`truth`: that of the events, where several streams are held to it."""
    truth = truth or truth_of(accepted)
    assert_same_tables(stream.ledger, truth)
    places = {(mark.partition, mark.offset, mark.index): mark for mark in stream.ledger.marks}
    assert sorted(mark.event_id for mark in places.values()) == sorted(truth.duplicates)
    pairs = {(event.anonymous_id, event.user_id) for event in accepted if event.user_id and event.anonymous_id}
    assert {(row.anonymous_id, row.user_id) for row in stream.ledger.links} == pairs
    assert not stream.rejected


def test_an_undisturbed_run_is_that_of_a_batch() -> None:
    accepted = history(400, 20)
    stream = Stream(Random(1))
    stream.run(accepted)
    assert_true(stream, accepted)
    sent = [record for values in stream.people for value in values for record in decode_people(value)]
    kinds = [type(record) for record in sent]
    assert min(map(kinds.count, (Link, Journey, Forwarded, OrderCounted, OrderRefund))) > 5


@pytest.mark.parametrize("seed", range(2))
def test_a_kill_after_any_step_of_any_flush_changes_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed:
        small_pages(monkeypatch)
    accepted = history(60, 4, seed)
    truth = truth_of(accepted)
    undisturbed = Stream(Random(seed))
    undisturbed.run(accepted)
    for instant in range(1, undisturbed.steps + 1, 1 if seed else 3):
        stream = Stream(Random(seed), [instant])
        stream.run(accepted)
        assert_true(stream, accepted, truth)


def test_kills_during_the_recovery_from_kills_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With groups so small that what is decided on takes several."""
    monkeypatch.setattr(open_group, "GROUP_BYTES", 3_000)
    accepted = history(120, 8, 3)
    truth = truth_of(accepted)
    for seed in range(8):
        instants = sorted(Random(seed).sample(range(1, 300), 25))
        stream = Stream(Random(seed), instants)
        stream.run(accepted)
        assert_true(stream, accepted, truth)


def test_a_new_life_over_the_same_topics_writes_the_same_rows() -> None:
    """Everything is processed again by a stream without state; what its former life sent is still in `people`."""
    accepted = history(200, 10)
    first = Stream(Random(1))
    first.run(accepted[:150])
    # It ends in the middle: some events were never forwarded, some journeys never handed over.
    first.accept(accepted[150:])
    second = Stream(Random(2))
    second.events, second.people = first.events, first.people
    for store, people in zip(second.stores, second.people, strict=True):
        store.write([(MARKER_KEY, encode_marker(Marker(0, 0, 0, derived_from=len(people))))], [], 0)
    second.start()
    second.run([])
    assert_true(second, accepted)


def test_what_raises_costs_one_record_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journey the domain cannot take: the anonymous person stays as it was, and the rest goes on."""
    accepted = history(200, 10)
    absorb = steps.absorb

    def failing(context: PersonContext, journey: bytes, anonymous_id: str) -> None:
        absorb(context, journey, anonymous_id)
        if anonymous_id == "anon-3":
            raise ValueError("after the state was changed")

    monkeypatch.setattr(steps, "absorb", failing)
    stream = Stream(Random(1))
    stream.run(accepted)
    assert [row.code for row in stream.rejected.values()] == ["SERVER_ERROR"]
    assert next(iter(stream.rejected.values())).app_id == "demo"
    events = list(as_stream_events(accepted))
    owners = owners_of(events)
    wrong = {"u:" + owners["anon-3"], "a:anon-3"}
    truth = compute(events, stream_traffic.APP, stream_traffic.START_MS + 9 * DAY_MS - LOST_MS, (), owners)
    expected = {key for key, row in truth.sessions.items() if row["person_key"] not in wrong}
    found = {key for key, row in stream.ledger.table("sessions").items() if row.person_key not in wrong}
    assert found == expected


def test_a_journey_too_large_to_be_sent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "MAX_JOURNEY_BYTES", 10)
    accepted = history(60, 4)
    stream = Stream(Random(1))
    stream.run(accepted)
    assert stream.rejected
    assert all("too large" in row.reason for row in stream.rejected.values())


def test_poison_in_people_is_rejected_and_the_rest_goes_on() -> None:
    link = Link("demo", "a", "u", "e1", stream_traffic.START_MS, stream_traffic.START_MS * 1000)
    lines = [b"{bad", b'{"kind":"unknown"}', encode_people([msgspec.structs.replace(link, user_id="")]).strip()]
    late = encode_people([msgspec.structs.replace(link, timestamp_ms=2**60)]).strip()
    value = b"\n".join([lines[0], encode_people([link]).strip(), *lines[1:], late])
    decoded = decode_people_message(value, Place("people", 2, 7, 5))
    assert (decoded.records, decoded.indexes) == ([link], [1])
    assert [row.field for row in decoded.rejected] == [f"people[2]@7[{index}]" for index in (0, 2, 3, 4)]
    assert len(decode_people_message(None, Place("people", 2, 7, 5)).rejected) == 1
    stream = Stream(Random(1))
    stream.people[0].append(value)
    stream.run([])
    assert len(stream.rejected) == 4
    assert len(stream.ledger.links) == 1


LATE_S = 2**60
UNUSABLE: list[PeopleRecord] = [
    OrderCounted("demo", "", "u:1", 1, 1),
    OrderCounted("demo", "A", "", 1, 1),
    OrderCounted("demo", "A", "u:1", 1, LATE_S),
    OrderRefund("", "A", "e1", 1, "", "", 1),
    OrderRefund("demo", "A", "e1", -1, "", "", 1),
    OrderClosed("demo", "A", "u:1", LATE_S, b""),
]


@pytest.mark.parametrize("record", UNUSABLE)
def test_a_message_about_an_order_that_is_of_no_use_is_rejected(record: PeopleRecord) -> None:
    decoded = decode_people_message(encode_people([record]), Place("people", 0, 7, 5))
    assert (len(decoded.records), len(decoded.rejected)) == (0, 1)


def test_nothing_is_decided_before_the_events_of_the_worker_before_are_applied() -> None:
    queue = PeopleQueue()
    queue.waits_for = 10
    queue.add(decode_people_message(b"", Place("people", 0, 4, 5)))
    assert not queue.can_decide(9)
    queue.decide(9)
    assert queue.due() is None
    queue.decide(10)
    assert queue.until == 5
    assert queue.is_due
    queue.add(decode_people_message(b"", Place("people", 0, 4, 5)))
    assert queue.next_to_receive == 5


def test_a_marker_of_before_people_decodes() -> None:
    old = msgspec.msgpack.encode([7, 3, 99])
    assert decode_marker(old) == Marker(7, 3, 99, 0, 0, 0, 0, {})
    marker = Marker(7, 3, 99, 5, 1, 9, 2, {3: (8, 1)})
    assert decode_marker(encode_marker(marker)) == marker


def test_past_a_thousand_bad_lines_the_rest_share_a_reject() -> None:
    decoded = decode_people_message(b"x\n" * (MAX_REJECTS_PER_MESSAGE + 500), Place("people", 0, 7, 5))
    assert len(decoded.rejected) == MAX_REJECTS_PER_MESSAGE + 1
    assert decoded.rejected[-1].reason.startswith("500 more lines")
