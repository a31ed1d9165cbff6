"""The loader between a broker and chDB, both real."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from aiokafka import TopicPartition
from loader_log import Log, Running, dump, random_events, until

from deploy.doctor.kafka import observe_kafka
from pipeline.runtime import liveness
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseUnavailable
from pipeline.runtime.clock import now_ms
from pipeline.runtime.kafka.group_reader import GroupReader
from pipeline.runtime.kafka.lost_records import RecordsLost
from pipeline.runtime.log import get_logger
from schemas.events import AcceptedEvent, encode_event
from schemas.facts import EventMarkRow, ProgressRow, RejectedRow, TouchRow, encode_rows
from schemas.ids import reject_id
from schemas.topics import Topic
from services.query.app import create_app


@pytest.fixture
def group() -> str:
    return f"loader-{uuid4().hex[:8]}"


def _event(event_id: str, timestamp_ms: int = 1_000, app_id: str = "app_rows") -> bytes:
    return encode_event(AcceptedEvent(app_id, event_id, "page_view", timestamp_ms, 5_000))


async def test_every_topic_lands_in_its_table_and_offsets_follow(log: Log, clickhouse: ClickHouse, group: str) -> None:
    await log.send(Topic.EVENTS, _event("e1") + b"\n" + _event("e1", 2_000), partition=2)
    head = ("e1", 1, "click", "x", "", "", "")
    touch = TouchRow(*head, app_id="app_rows", person_key="u:1", session_id="s", revision=2)
    await log.send(Topic.TOUCHES, encode_rows([touch]))
    marks = [EventMarkRow("app_rows", "e1", "duplicate", 2_000, 1_000, 5_000, 2, 0, 1)]
    await log.send(Topic.EVENT_MARKS, encode_rows(marks), partition=1)
    await log.send(Topic.REJECTED, encode_rows([RejectedRow("app_rows", "r1", 1, "gateway", "X", "f", "why", "{}")]))
    await log.send(Topic.PROGRESS, encode_rows([ProgressRow(2, 1, 900, 0, {"sessions": 4}, 1_000)]), partition=2)
    await log.load(clickhouse, group)

    assert await clickhouse.query("SELECT event_id, timestamp_ms FROM events FINAL WHERE app_id = 'app_rows'") == [
        ("e1", 1_000)
    ]
    for table in ("touches", "event_marks", "rejected"):
        found = await clickhouse.query(f"SELECT count() FROM {table} FINAL WHERE app_id = 'app_rows'")
        assert found == [(1,)], table
    assert await clickhouse.query("SELECT derived_offsets FROM progress FINAL WHERE partition = 2") == [
        ({"sessions": 4},)
    ]
    loaded = await clickhouse.query("SELECT topic, partition, next_offset FROM loaded_offsets FINAL")
    assert {(topic, partition): offset for topic, partition, offset in loaded} == await log.committed(group)


async def test_loading_twice_gives_the_same_rows(log: Log, clickhouse: ClickHouse, group: str) -> None:
    for seed in range(12):
        await log.send(Topic.EVENTS, random_events(seed, 200), partition=seed % 4)
    await log.load(clickhouse, group)
    once = await dump(clickhouse)
    await log.load(clickhouse, group + "-again", loader_max_rows=150)
    assert await dump(clickhouse) == once
    await clickhouse.command("OPTIMIZE TABLE events FINAL")
    assert await dump(clickhouse) == once


async def test_a_bad_line_is_kept_as_a_reject_and_the_rest_is_stored(
    log: Log, clickhouse: ClickHouse, group: str
) -> None:
    bad = b'{"app_id":"app_bad","event_id":"b","timestamp_ms":"soon"}'
    await log.send(Topic.EVENTS, _event("g1", app_id="app_bad"), partition=3)
    offset = await log.send(
        Topic.EVENTS, b"\n".join([_event("g2", app_id="app_bad"), bad, _event("g3", app_id="app_bad")]), partition=3
    )
    truncated = await log.send(Topic.SESSIONS, b'{"app_id":"app_bad","session_id":"s\xff', partition=3)
    await log.send(Topic.EVENTS, _event("g4", app_id="app_bad"), partition=3)
    await log.load(clickhouse, group)
    await log.load(clickhouse, group + "-again")

    stored = await clickhouse.query("SELECT event_id FROM events FINAL WHERE app_id = 'app_bad' ORDER BY event_id")
    assert stored == [("g1",), ("g2",), ("g3",), ("g4",)]
    rejects = await clickhouse.query_dicts("SELECT * FROM rejected FINAL WHERE stage = 'loader' ORDER BY app_id DESC")
    assert [row["reject_id"] for row in rejects] == [
        reject_id("events", "3", str(offset), "1"),
        reject_id("sessions", "3", str(truncated), "0"),
    ]
    assert rejects[0]["app_id"] == "app_bad"
    assert rejects[0]["payload"] == bad.decode()
    assert "timestamp_ms" in rejects[0]["reason"]


async def test_what_is_loaded_is_told_after_a_step_of_the_clock(log: Log, clickhouse: ClickHouse, group: str) -> None:
    """Rows of `loaded_offsets` replace each other by their time; that of before the step is an hour ahead."""
    ahead_ms = now_ms() + 3_600_000
    await clickhouse.command(f"INSERT INTO loaded_offsets VALUES ('events', 2, 0, {ahead_ms})")
    offset = await log.send(Topic.EVENTS, _event("after", app_id="app_step"), partition=2)
    await log.load(clickhouse, group)
    sql = "SELECT next_offset FROM loaded_offsets FINAL WHERE topic = 'events' AND partition = 2"
    assert await clickhouse.query(sql) == [(offset + 1,)]


async def test_a_stop_stores_and_commits_what_was_read(log: Log, clickhouse: ClickHouse, group: str) -> None:
    async with log.loading(clickhouse, group, loader_max_age_seconds=30) as running:
        await log.send(Topic.EVENTS, _event("first", app_id="app_stop"))
        await until(lambda: log.is_loaded(group), running)
        # The last block is young, so these wait for more; the stop must not forget them.
        for number in range(5):
            await log.send(Topic.EVENTS, _event(f"held{number}", app_id="app_stop"))
        await until(lambda: _holds(running, 5), running)
    held = await clickhouse.query("SELECT count() FROM events FINAL WHERE app_id = 'app_stop'")
    loaded = await clickhouse.query(
        "SELECT next_offset FROM loaded_offsets FINAL WHERE topic = 'events' AND partition = 0"
    )
    assert loaded[0][0] == (await log.committed(group))[("events", 0)]
    assert held == [(6,)]
    assert await log.is_loaded(group)


async def _holds(running: Running, rows: int) -> bool:
    return running.loader.held_rows == rows


async def test_tables_that_were_emptied_are_filled_again(log: Log, clickhouse: ClickHouse, group: str) -> None:
    await log.send(Topic.EVENTS, random_events(77, 300, app_id="app_again"), partition=1)
    await log.load(clickhouse, group)
    before = await dump(clickhouse)
    for table in ("events", "rejected", "event_marks", "touches", "progress", "sessions", "loaded_offsets"):
        await clickhouse.command(f"TRUNCATE TABLE {table}")

    async def is_back() -> bool:
        return await dump(clickhouse) == before

    async with log.loading(clickhouse, group) as running:
        await until(is_back, running)


class EventsAway:
    """ClickHouse as it is, but without the table `events` until `is_back` is set."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self.refused = 0
        self.is_back = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clickhouse, name)

    async def insert_ndjson(self, table: str, data: bytes, token: str = "") -> None:
        if table == "events" and not self.is_back:
            self.refused += 1
            raise ClickHouseUnavailable("away", 210)
        await self._clickhouse.insert_ndjson(table, data, token)


async def test_clickhouse_may_be_away_and_nothing_is_lost_or_committed_early(
    log: Log, clickhouse: ClickHouse, group: str
) -> None:
    for seed in range(100, 110):
        await log.send(Topic.EVENTS, random_events(seed, 100, app_id="app_away"), partition=seed % 4)
    away: Any = EventsAway(clickhouse)

    async def was_refused() -> bool:
        return away.refused >= 4

    async with log.loading(away, group, loader_max_rows=200) as running:
        await until(was_refused, running)
        assert not [place for place in await log.committed(group) if place[0] == "events"]
        assert await clickhouse.query("SELECT * FROM loaded_offsets WHERE topic = 'events'") == []
        away.is_back = True
        await until(lambda: log.is_loaded(group), running)
    expected = {
        json.loads(line)["event_id"] for seed in range(100, 110) for line in random_events(seed, 100).split(b"\n")
    }
    found = await clickhouse.query("SELECT DISTINCT event_id FROM events WHERE app_id = 'app_away'")
    assert {row[0] for row in found} == expected


async def test_records_deleted_unread_stop_it_until_it_is_told_to_go_on(
    log: Log, clickhouse: ClickHouse, group: str
) -> None:
    await _stops_where_records_are_lost(log, clickhouse, group)


@pytest.mark.kafka
async def test_records_that_apache_kafka_deleted_unread_stop_it_too(
    kafka_log: Log, clickhouse: ClickHouse, group: str
) -> None:
    await _stops_where_records_are_lost(kafka_log, clickhouse, group)


async def _stops_where_records_are_lost(log: Log, clickhouse: ClickHouse, group: str) -> None:
    """Retention shorter than an outage: it says what is lost, and does not begin somewhere else by itself."""
    await log.send(Topic.EVENTS, _event("before", app_id="app_lost"), partition=3)
    await log.load(clickhouse, group)
    first, *_, last = [
        await log.send(Topic.EVENTS, _event(f"lost-{number}", app_id="app_lost"), partition=3) for number in range(4)
    ]
    await log.delete_before(Topic.EVENTS, 3, last)
    message = rf"events\[3\]: offsets {first} to {last - 1} were deleted before {group} read them"
    with pytest.raises(RecordsLost, match=message):
        await log.load(clickhouse, group)
    facts = await observe_kafka(log.settings)
    assert [lag.deleted for lag in facts.lags if lag.group == group and lag.deleted] == [last - first]
    await log.load(clickhouse, group, skip_lost_records=True)
    found = await clickhouse.query("SELECT event_id FROM events FINAL WHERE app_id = 'app_lost' ORDER BY event_id")
    assert [row[0] for row in found] == ["before", "lost-3"]
    await log.load(clickhouse, group)


async def _read_forever(reader: GroupReader) -> None:
    while True:
        await reader.read(timeout_ms=100)


async def test_records_deleted_while_it_reads_stop_it_too(log: Log, group: str) -> None:
    place = TopicPartition(Topic.EVENTS.value, 1)
    reader = GroupReader(log.settings, [Topic.EVENTS], group, get_logger("loader"))
    await reader.start()
    try:
        async with asyncio.timeout(60):
            while not reader.is_assigned:
                await reader.read(timeout_ms=100)
            reader.pause(place)
            await reader.commit({place: (await log.send(Topic.EVENTS, b"{}", partition=1) + 1, "")})
            sent = [await log.send(Topic.EVENTS, b"{}", partition=1) for _ in range(4)]
            await log.delete_before(Topic.EVENTS, 1, sent[2])
            reader.resume(place)
            with pytest.raises(RecordsLost, match=r"were deleted before"):
                await _read_forever(reader)
    finally:
        await reader.stop()


@pytest.mark.kafka  # the small broker does not elect a new leader for a group that lost its own
async def test_partitions_change_hands_without_loss(kafka_log: Log, clickhouse: ClickHouse, group: str) -> None:
    log, sent = kafka_log, 0

    async def produce(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            await log.send(Topic.EVENTS, random_events(1_000 + sent, 40, app_id="app_hands"), partition=sent % 4)
            sent += 1

    await produce(10)
    async with log.loading(clickhouse, group, loader_max_rows=100) as first:
        await until(lambda: log.is_loaded(group), first)
        async with log.loading(clickhouse, group, loader_max_rows=100) as second:
            await produce(30)
            await until(lambda: log.is_loaded(group), second)
        await produce(10)
        await until(lambda: log.is_loaded(group), first)
    expected = {
        json.loads(line)["event_id"]
        for seed in range(1_000, 1_000 + sent)
        for line in random_events(seed, 40).split(b"\n")
    }
    found = await clickhouse.query("SELECT DISTINCT event_id FROM events WHERE app_id = 'app_hands'")
    assert {row[0] for row in found} == expected


class _Stuck:
    """ClickHouse, whose inserts of events never end until `release`."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self.release = asyncio.Event()

    async def insert_ndjson(self, table: str, data: bytes, token: str = "") -> None:
        if table == "events":
            await self.release.wait()
        await self._clickhouse.insert_ndjson(table, data, token)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clickhouse, name)


async def test_a_loader_that_stands_still_is_not_alive(
    log: Log, clickhouse: ClickHouse, group: str, make_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "LOOK_SECONDS", 0.1)
    stuck: Any = _Stuck(clickhouse)
    async with log.loading(stuck, group, stall_seconds=1.0) as running:
        await log.send(Topic.EVENTS, _event("stuck"), partition=3)
        app = create_app(make_settings(), clickhouse, loader_stalled=running.loader.stalled)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://store") as client:

            async def answers(status: int) -> bool:
                return (await client.get("/healthz")).status_code == status

            assert await answers(200)
            await until(lambda: answers(503), running)
            told = (await client.get("/healthz")).json()["error"]["details"]["stalled"]
            assert "events/3" in told
            stuck.release.set()
            await until(lambda: answers(200), running)
