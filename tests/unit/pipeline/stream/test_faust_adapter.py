"""Faust as the adapter uses it: the real app, its tables and its consumer, without a broker."""

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from pipeline.stream.decode import Place
from pipeline.stream.faust_adapter import StreamApp
from pipeline.stream.partition.open_stores import OpenStores
from pipeline.stream.partition.stores import MemoryStore
from pipeline.stream.source_topic import SourceTopic

TABLE = "persons"
CHANGELOG = f"stream-{TABLE}-changelog"


class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def start(self) -> None:
        self.told.append("start")

    async def take(self, partitions: set[int], source: SourceTopic) -> None:
        self.told.append(("take", partitions))

    async def handle(self, place: Place, value: bytes | None, acknowledge: Callable[[], Awaitable[Any]]) -> None: ...

    async def release(self) -> None:
        self.told.append("release")

    async def stop(self) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class BrokerConsumer:
    """Says where changelogs begin."""

    async def earliest_offsets(self, *places: TP) -> dict[TP, int]:
        return dict.fromkeys(places, 3)

    async def wait_empty(self) -> None: ...


class Site:
    def __init__(self, folder: Path) -> None:
        self.owner = Owner()
        self.opened: dict[int, MemoryStore] = {}
        self.stores = OpenStores(lambda number: self.opened.setdefault(number, MemoryStore()))
        options = {"datadir": str(folder), "topic_partitions": 4, "web_enabled": False, "stream_wait_empty": True}
        self.app: Any = StreamApp("stream", "events", TABLE, self.owner, self.stores, **options)
        self.table: Any = self.app.tables[TABLE]


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_the_broker_is_not_to_hold_a_fetch_back_for_long(site: Site) -> None:
    consumer = site.app.consumer
    made = consumer._new_consumer_thread()._create_worker_consumer(consumer.transport)
    assert made._fetch_max_wait_ms <= 100


async def test_a_consumer_that_may_fetch_nothing_soon_looks_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, slept = site.app.consumer, []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(consumer, "sleep", sleep)
    assert await consumer._wait_next_records(1.0) == ({}, set())
    assert len(slept) == 1
    assert slept[0] <= 0.1


async def test_faust_finds_nothing_to_read_in_a_changelog(site: Site) -> None:
    recovery, places = site.app.tables.recovery, {TP(CHANGELOG, 0), TP(CHANGELOG, 1)}
    for place in places:
        recovery.add_active(site.table, place)
    recovery.active_highwaters = Counter({TP(CHANGELOG, 0): 41, TP(CHANGELOG, 1): -1})
    await recovery._build_offsets(BrokerConsumer(), places, recovery.active_offsets, "active")
    assert not recovery.need_recovery()


async def test_partitions_are_taken_once_faust_has_nothing_left_to_recover(site: Site) -> None:
    await site.table.on_recovery_completed({TP(CHANGELOG, 1), TP(CHANGELOG, 2)}, set())
    assert site.owner.told == [("take", {1, 2})]


async def test_stores_close_with_their_partitions(site: Site) -> None:
    for number in (0, 1, 2):
        site.stores.of(number).write([(b"k", b"v")], [], 7)
    await site.table.on_rebalance(set(), {TP(CHANGELOG, 1), TP("events", 2)}, set())
    assert [store.offset for _, store in sorted(site.opened.items())] == [7, None, 7]


async def test_partitions_are_released_before_they_are_given_up(site: Site) -> None:
    await site.app._consumer_wait_empty(BrokerConsumer(), site.app.log)
    assert site.owner.told == ["release"]
