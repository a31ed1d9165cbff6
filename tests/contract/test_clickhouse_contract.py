"""Contract of every ClickHouse behind the wrapper: chDB in this process, chDB behind ClickHouse's HTTP protocol, and a
server over HTTP (`docker`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import msgspec
import pytest
from clickhouse_over_chdb import StandIn, standing_in
from docker.errors import DockerException
from testcontainers.community.clickhouse import ClickHouseContainer

from pipeline.runtime.clickhouse import (
    ClickHouse,
    ClickHouseError,
    ClickHouseRejected,
    ClickHouseTimeout,
    ClickHouseUnavailable,
    migrate,
)
from pipeline.runtime.clickhouse.client import QUERY_THREADS
from pipeline.runtime.settings import Settings
from schemas.clickhouse import Migration, MigrationError, load_migrations
from schemas.events import AcceptedEvent, encode_event
from schemas.facts import EventMarkRow, RejectedRow, SessionRow, encode_row
from schemas.persons import person_key


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    try:
        server = ClickHouseContainer("clickhouse/clickhouse-server:25.8").start()
    except DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    with server:
        host, port = server.get_container_host_ip(), server.get_exposed_port(8123)
        yield f"http://{server.username}:{server.password}@{host}:{port}"


@pytest.fixture(scope="session")
def stand_in(clickhouse_dir: Path) -> Iterator[StandIn]:
    with standing_in(clickhouse_dir / "clickhouse", password="of the stand-in") as server:
        yield server


@pytest.fixture(params=["chdb", "stand-in over http", pytest.param("server", marks=pytest.mark.docker)])
async def engine(request: pytest.FixtureRequest, clickhouse_dir: Path) -> AsyncIterator[ClickHouse]:
    """An empty database, not migrated."""
    url = ""
    if request.param == "server":
        url = request.getfixturevalue("server_url")
    elif request.param != "chdb":
        url = request.getfixturevalue("stand_in").url.replace("of the stand-in", quote("of the stand-in"))
    database = f"contract_{uuid4().hex[:12]}"
    opened = ClickHouse.open(Settings(data_dir=clickhouse_dir, clickhouse_url=url, database=database))
    await opened.create_database()
    yield opened
    await opened.command(f"DROP DATABASE {database}")
    opened.close()


@pytest.fixture
async def tables(engine: ClickHouse) -> ClickHouse:
    await migrate(engine)
    return engine


def event(event_id: str = "e1", timestamp_ms: int = 1_000, received_us: int = 5_000_000, **given: object) -> bytes:
    fields = {"app_id": "app", "event_name": "page_view", "event_id": event_id} | given
    return encode_event(AcceptedEvent(timestamp_ms=timestamp_ms, received_us=received_us, **fields))  # type: ignore[arg-type]


def mark(event_id: str, timestamp_ms: int, first_timestamp_ms: int, kind: str = "duplicate", offset: int = 0) -> bytes:
    return encode_row(EventMarkRow("app", event_id, kind, timestamp_ms, first_timestamp_ms, 5_000_000, 0, offset, 0))


async def _events(clickhouse: ClickHouse) -> list[tuple[object, ...]]:
    return await clickhouse.query("SELECT event_id, timestamp_ms, received_us FROM events FINAL ORDER BY timestamp_ms")


async def test_rows_come_back_as_they_went_in(tables: ClickHouse) -> None:
    properties = '{"title":"首页 \\"a\\"","deep":{"n":[1,2.5,null,{"x":true}]}}'
    line = event(properties=msgspec.Raw(properties.encode()), user_id="u1", is_bot=True, original_timestamp_ms=7)
    await tables.insert_ndjson("events", line)
    [row] = await tables.query_dicts("SELECT *, person_key, timestamp, received_at FROM events FINAL")
    assert row["properties"] == properties
    assert row["is_bot"] is True
    assert (row["timestamp_ms"], row["received_us"], row["original_timestamp_ms"]) == (1_000, 5_000_000, 7)
    assert row["timestamp"].isoformat() == "1970-01-01T00:00:01+00:00"
    assert row["received_at"].isoformat() == "1970-01-01T00:00:05+00:00"


@pytest.mark.parametrize(("user_id", "anonymous_id"), [("u", "a"), ("u", ""), ("", "a"), ("", "")])
async def test_the_person_key_is_the_one_of_the_schema(tables: ClickHouse, user_id: str, anonymous_id: str) -> None:
    await tables.insert_ndjson("events", event(user_id=user_id, anonymous_id=anonymous_id))
    assert await tables.query("SELECT person_key FROM events") == [(person_key(user_id, anonymous_id, "e1"),)]


async def test_parameters_are_bound_and_never_read_as_sql(tables: ClickHouse) -> None:
    nasty = "x' OR 1=1 --\\ \"首"
    await tables.insert_ndjson("events", event(user_id=nasty) + b"\n" + event("e2"))
    sql = "SELECT event_id FROM events WHERE user_id = {user:String} AND timestamp_ms IN {times:Array(Int64)}"
    assert await tables.query(sql, {"user": nasty, "times": [1_000, 2_000]}) == [("e1",)]


async def test_an_answer_can_come_as_bytes(engine: ClickHouse) -> None:
    assert await engine.query_bytes("SELECT {n:Int64} AS n", {"n": 3}) == b'{"n":3}\n'
    assert await engine.query_bytes("SELECT 1 AS a, 'x' AS b", format="CSVWithNames") == b'"a","b"\n1,"x"\n'


async def test_an_answer_can_be_read_in_pieces_and_left(engine: ClickHouse) -> None:
    sql = "SELECT number AS n FROM numbers({count:UInt64})"
    whole = await engine.read(sql, {"count": 100_000}, use=b"".join, piece_bytes=4_096)
    assert whole == await engine.query_bytes(sql, {"count": 100_000})
    begin = await engine.read(
        sql, {"count": 10**12}, use=lambda pieces: [next(pieces), next(pieces)], piece_bytes=4_096
    )
    assert [len(piece) for piece in begin] == [4_096, 4_096]
    assert whole.startswith(b"".join(begin))
    assert await engine.query("SELECT 1") == [(1,)]


async def test_bad_sql_is_rejected_with_the_code(engine: ClickHouse) -> None:
    with pytest.raises(ClickHouseRejected, match="nope") as caught:
        await engine.query("SELECT nope")
    assert caught.value.code == 47


async def test_a_query_ends_at_its_time_limit(engine: ClickHouse) -> None:
    with pytest.raises(ClickHouseTimeout):
        await engine.query("SELECT sleepEachRow(0.2) FROM numbers(50) SETTINGS max_block_size = 1", timeout_seconds=0.5)


@pytest.mark.parametrize(
    "bad",
    [
        b'{"app_id":"app","event_id":',
        b"nonsense",
        b'{"app_id":"app","event_id":"e","timestamp_ms":"soon"}',
        b'{"app_id":"\xff\xfe',
        b'{"app_id":"app","event_id":"e","is_bot":7}',
        b"{}",
        b'{"app_id":"app"}',
        b"[1]",
    ],
)
async def test_bad_data_is_rejected_and_nothing_of_its_block_is_stored(tables: ClickHouse, bad: bytes) -> None:
    with pytest.raises(ClickHouseRejected):
        await tables.insert_ndjson("events", event() + b"\n" + bad + b"\n" + event("e2"))
    assert await tables.query("SELECT count() FROM events") == [(0,)]


async def test_a_missing_table_is_worth_waiting_for(engine: ClickHouse) -> None:
    with pytest.raises(ClickHouseUnavailable):
        await engine.insert_ndjson("events", event())


async def test_unknown_fields_and_blank_lines_are_skipped(tables: ClickHouse) -> None:
    await tables.insert_ndjson("events", b'\n{"app_id":"app","event_id":"e1","a_later_field":{"x":[1]}}\n\n')
    await tables.insert_ndjson("events", b"\n\n")
    assert await tables.query("SELECT event_id, properties FROM events") == [("e1", "{}")]


async def test_a_repeated_token_changes_nothing(tables: ClickHouse) -> None:
    for _ in range(3):
        await tables.insert_ndjson("events", event(), token="one")
    assert await tables.query("SELECT count() FROM events") == [(1,)]
    await tables.insert_ndjson("events", event(), token="another")
    assert len(await _events(tables)) == 1


async def test_of_repeats_with_one_timestamp_the_first_received_stands(tables: ClickHouse) -> None:
    await tables.insert_ndjson("events", event(received_us=7))
    await tables.insert_ndjson("events", event(received_us=5))
    await tables.insert_ndjson("events", event(received_us=6))
    assert await _events(tables) == [("e1", 1_000, 5)]


@pytest.mark.parametrize("marks_come_first", [True, False])
async def test_a_repeat_with_another_timestamp_is_taken_back(tables: ClickHouse, marks_come_first: bool) -> None:
    events = b"\n".join(
        [event(timestamp_ms=1_000), event(timestamp_ms=1_500), event(timestamp_ms=1_500, received_us=9)]
    )
    marks = b"\n".join([mark("e1", 1_500, 1_000, offset=1), mark("e1", 1_500, 1_000, offset=2)])
    order = (
        [("event_marks", marks), ("events", events)]
        if marks_come_first
        else [("events", events), ("event_marks", marks)]
    )
    for _ in range(2):
        for table, data in order:
            await tables.insert_ndjson(table, data, token=f"{table}-block")
    assert await _events(tables) == [("e1", 1_000, 5_000_000)]
    assert await tables.query("SELECT count() FROM event_marks FINAL WHERE mark = 'duplicate'") == [(2,)]
    await tables.command("OPTIMIZE TABLE events FINAL")
    assert await _events(tables) == [("e1", 1_000, 5_000_000)]


async def test_other_marks_take_nothing_back(tables: ClickHouse) -> None:
    await tables.insert_ndjson("events", event() + b"\n" + event("e2", timestamp_ms=2_000))
    await tables.insert_ndjson("event_marks", mark("e1", 1_000, 1_000) + b"\n" + mark("e2", 2_000, 0, kind="late"))
    assert [row[0] for row in await _events(tables)] == ["e1", "e2"]


def _session(revision: int, events: int, is_deleted: bool = False) -> bytes:
    row = SessionRow(
        app_id="app",
        session_id="s1",
        person_key="u:1",
        user_id="1",
        anonymous_id="",
        start_ms=1_000,
        end_ms=1_000 + events,
        events=events,
        page_views=events,
        entry_page="/",
        exit_page="/",
        channel="direct",
        source="",
        medium="",
        campaign="",
        conversions=1,
        values_minor={"CNY": 9_900, "JPY": 5},
        is_bounce=False,
        is_closed=False,
        revision=revision,
        is_deleted=is_deleted,
    )
    return encode_row(row)


async def test_the_greatest_revision_stands_in_any_order(tables: ClickHouse) -> None:
    for revision in (2, 6, 4):
        await tables.insert_ndjson("sessions", _session(revision, events=revision))
    rows = await tables.query("SELECT revision, events, values_minor, duration_ms FROM sessions FINAL")
    assert rows == [(6, 6, {"CNY": 9_900, "JPY": 5}, 6)]


async def test_a_deleted_row_is_gone_until_a_greater_revision(tables: ClickHouse) -> None:
    await tables.insert_ndjson("sessions", _session(4, events=1, is_deleted=True))
    await tables.insert_ndjson("sessions", _session(2, events=1))
    assert await tables.query("SELECT * FROM sessions FINAL") == []
    await tables.insert_ndjson("sessions", _session(6, events=3))
    assert await tables.query("SELECT events FROM sessions FINAL") == [(3,)]


@pytest.mark.parametrize("order", [("stream", "loader"), ("loader", "stream")])
async def test_of_a_line_that_two_refuse_the_streams_account_stands(tables: ClickHouse, order: tuple[str, str]) -> None:
    for stage in order:
        row = RejectedRow("app", "rej_1", 1_000, stage, stage.upper(), "", "why", "{")
        await tables.insert_ndjson("rejected", encode_row(row))
    assert await tables.query("SELECT stage, code FROM rejected FINAL") == [("stream", "STREAM")]


async def test_rows_from_before_versions_and_refunds_read_as_first_versions_without_refunds(engine: ClickHouse) -> None:
    migrations = load_migrations()
    await migrate(engine, migrations[:1])
    common = {"app_id": "app", "conversion_id": "c", "converted_at_ms": 5, "value_minor": 100}
    await engine.insert_ndjson("conversions", msgspec.json.encode(common | {"revision": 4}))
    await engine.insert_ndjson("attributions", msgspec.json.encode(common | {"revision": 3}))
    await migrate(engine)
    columns = "goal_version, value_minor, refunded_minor, refund_excess_minor"
    assert await engine.query(f"SELECT {columns} FROM conversions FINAL") == [(1, 100, 0, 0)]
    columns = "supersedes, config_version, value_minor, refunded_minor"
    assert await engine.query(f"SELECT {columns} FROM attributions FINAL") == [(2, 1, 100, 0)]


async def test_migrating_again_does_nothing(engine: ClickHouse) -> None:
    everything = [migration.number for migration in load_migrations()]
    assert await migrate(engine) == everything
    assert await migrate(engine) == []
    rows = await engine.query("SELECT number, checksum FROM schema_migrations FINAL ORDER BY number")
    assert rows == [(migration.number, migration.checksum) for migration in load_migrations()]


async def test_a_crash_between_a_statement_and_its_record_is_survived(engine: ClickHouse) -> None:
    """At the worst moment: every statement of a migration is done, and the record of it is missing."""
    for statement in load_migrations()[0].statements[:4]:
        await engine.command(statement)
    for migration in load_migrations():
        for statement in migration.statements:
            await engine.command(statement)
        if migration.number == 1:
            await engine.insert_ndjson("events", event())
        assert await migrate(engine, load_migrations()[: migration.number]) == [migration.number]
    assert await engine.query("SELECT count() FROM events") == [(1,)]


async def test_a_changed_migration_is_refused_and_nothing_is_applied(engine: ClickHouse) -> None:
    original = Migration(1, "x", "CREATE TABLE IF NOT EXISTS x (a Int64) ENGINE = MergeTree ORDER BY a;")
    changed = Migration(1, "x", original.sql + "\n")
    later = Migration(2, "y", "CREATE TABLE IF NOT EXISTS y (a Int64) ENGINE = MergeTree ORDER BY a;")
    await migrate(engine, (original,))
    with pytest.raises(MigrationError, match="immutable"):
        await migrate(engine, (changed, later))
    assert await engine.query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'y'"
    ) == [(0,)]


async def test_a_server_that_is_not_there_is_worth_waiting_for(free_port: Callable[[], int]) -> None:
    url = f"http://somebody:p%40ss@127.0.0.1:{free_port()}/numbers"
    clickhouse = ClickHouse.open(Settings(clickhouse_url=url))
    assert clickhouse.database == "numbers"
    with pytest.raises(ClickHouseUnavailable) as of_query:
        await clickhouse.query("SELECT 1")
    with pytest.raises(ClickHouseUnavailable) as of_insert:
        await clickhouse.insert_ndjson("events", event())
    with pytest.raises(ClickHouseUnavailable):
        await migrate(clickhouse)
    for caught in (of_query, of_insert):
        assert "p@ss" not in str(caught.value)
        assert "p%40ss" not in str(caught.value)
    clickhouse.close()


@pytest.mark.parametrize("is_in_pieces", [False, True])
async def test_a_query_that_nobody_waits_for_is_stopped(engine: ClickHouse, is_in_pieces: bool) -> None:
    sql = "SELECT sleepEachRow(0.1) FROM numbers(1200) SETTINGS max_block_size = 1, max_execution_time = 120"
    is_running = (
        "SELECT count() FROM system.processes WHERE query LIKE '%numbers(1200)%' AND query NOT LIKE '%processes%'"
    )

    async def count() -> int:
        return int((await engine.query(is_running))[0][0])

    read = partial(engine.read, use=b"".join, piece_bytes=1_000) if is_in_pieces else engine.query_bytes
    asking = asyncio.create_task(read(sql))
    async with asyncio.timeout(30):
        while not await count():
            await asyncio.sleep(0.05)
        asking.cancel()
        while await count():
            await asyncio.sleep(0.05)


_SECRETS = "SELECT concat('secret', toString({0})) AS n FROM numbers(200) SETTINGS max_block_size = 1"


async def _answers_are_their_own(engine: ClickHouse) -> None:
    """Ask until each of the connections has been asked."""
    answers = await asyncio.gather(*(engine.query_bytes("SELECT 7 AS n") for _ in range(2 * QUERY_THREADS)))
    assert set(answers) == {b'{"n":7}\n'}
    rows = await asyncio.gather(*(engine.query("SELECT 'seven' AS n") for _ in range(2 * QUERY_THREADS)))
    assert all(found == [("seven",)] for found in rows)


@pytest.mark.parametrize("how", ["query_bytes", "query", "query_dicts"])
@pytest.mark.parametrize(
    ("sql", "limit"),
    [(_SECRETS.format("throwIf(number = 5)"), None), (_SECRETS.format("sleepEachRow(0.02)"), 0.2)],
    ids=["an error", "its limit of time"],
)
async def test_rows_of_an_answer_that_broke_off_are_in_no_other(
    engine: ClickHouse, how: str, sql: str, limit: float | None
) -> None:
    """chDB keeps them in the connection and puts them before its next answer, which may be that of another app."""
    with pytest.raises(ClickHouseError):
        await getattr(engine, how)(sql, timeout_seconds=limit)
    await _answers_are_their_own(engine)


async def test_rows_of_an_answer_that_was_stopped_are_in_no_other(engine: ClickHouse) -> None:
    for _ in range(2 * QUERY_THREADS):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await engine.query_bytes(_SECRETS.format("sleepEachRow(0.02)"))
        await _answers_are_their_own(engine)


async def test_a_folder_for_blocks_that_cannot_be_written_to_is_worth_waiting_for(clickhouse: ClickHouse) -> None:
    """As on a full disk: the store tries again, where it ended before."""
    assert clickhouse._lock is not None
    spool = clickhouse._lock.spool
    spool.rename(spool.with_name("elsewhere"))
    try:
        with pytest.raises(ClickHouseUnavailable):
            await clickhouse.insert_ndjson("events", event())
    finally:
        spool.with_name("elsewhere").rename(spool)
    await clickhouse.insert_ndjson("events", event())
    assert await clickhouse.query("SELECT count() FROM events") == [(1,)]


async def test_the_embedded_engine_removes_merged_parts_soon_and_in_one_thread(clickhouse: ClickHouse) -> None:
    """`make chaos` shows in a soak that files, threads and memory stay the same; here is what that rests on."""
    names = ("cleanup_delay_period", "max_cleanup_delay_period", "concurrent_part_removal_threshold")
    rows = await clickhouse.query(f"SELECT name, toInt64(value) FROM system.merge_tree_settings WHERE name IN {names}")
    found = dict(rows)
    assert found["cleanup_delay_period"] <= found["max_cleanup_delay_period"] <= 10
    assert found["concurrent_part_removal_threshold"] >= 1_000_000
