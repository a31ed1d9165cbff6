from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
import stream_traffic
from stream_reference import Folded, fold

from pipeline.domain.effects import Effects
from pipeline.domain.watermark import Watermark
from pipeline.stream.decode import DecodedEvents, Place, decode_message
from pipeline.stream.partition.group import Group
from pipeline.stream.partition.outputs import rows_by_topic
from pipeline.stream.partition.persons import Persons
from pipeline.stream.partition.restore import restore
from pipeline.stream.partition.state_cache import LiveStates
from pipeline.stream.partition.stores import MemoryStore
from pipeline.stream.partition.working_set import BEGINNING, WorkingSet
from pipeline.stream.rules_book import RulesBook
from schemas.control import Snapshot
from schemas.topics import Topic

Messages = list[bytes]


class Partition:
    """One partition without a broker: a working set, a store, and what the flushes would have written."""

    def __init__(self) -> None:
        self.rules = RulesBook()
        self.rules.use(Snapshot({stream_traffic.APP.app_id: stream_traffic.APP}, {}, 0))
        self.store = MemoryStore()
        self.groups: list[Group] = []
        self.take()

    def take(self) -> None:
        """A new owner: everything in memory is gone, the store and the last marker are there."""
        marker = self.groups[-1].marker if self.groups else BEGINNING
        states = LiveStates(self.store.get_many, 1_000, 1 << 30)
        persons = Persons(0, states, self.rules, Watermark(60_000, marker.watermark_ms))
        self.working_set = WorkingSet(persons, marker)
        deque(restore(self.working_set.agenda, self.store), maxlen=0)
        self.working_set.begin()

    def decoded(self, offset: int, value: bytes) -> DecodedEvents:
        return decode_message(value, Place("events", 0, offset, 1_790_000_000_000))

    def apply(self, offset: int, value: bytes) -> None:
        while not self.working_set.apply(self.decoded(offset, value)):
            assert self.flush()

    def flush(self, *, publish: bool = False) -> Group | None:
        group = self.working_set.close_group(publish=publish)
        if group is not None:
            self.groups.append(group)
            self.store.write(group.puts, group.deletes, len(self.groups), group.wakeups)
            self.working_set.stored()
        return group

    def run(self, messages: Iterable[bytes], *, publish: bool = False) -> None:
        for offset, value in enumerate(messages):
            if offset >= self.working_set.next_offset:
                self.apply(offset, value)
                self.flush(publish=publish)

    def finish(self) -> None:
        self.flush(publish=True)
        while self.working_set.pending_sessions:
            self.flush(publish=True)

    def rows(self, topic: Topic) -> list[dict[str, Any]]:
        return [row for group in self.groups for row in msgspec.to_builtins(list(rows_by_topic(group).get(topic, ())))]

    def folded(self) -> Folded:
        return fold({topic: self.rows(topic) for topic in Topic})


@pytest.fixture
def make_partition() -> Callable[[], Partition]:
    return Partition


@pytest.fixture
def messages() -> Messages:
    traffic = stream_traffic.events(1_200, 60, seed=11)
    return [value for _, value in stream_traffic.packed(traffic, 50, 1)]


@pytest.fixture
def effects() -> Effects:
    return Effects()
