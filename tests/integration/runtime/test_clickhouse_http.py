"""ClickHouse over HTTP in front of chDB (`clickhouse_over_chdb`): what lies between the client and a server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import clickhouse_connect
import pytest
from certificates import Authority
from clickhouse_over_chdb import StandIn, standing_in
from waiting import until

from pipeline.runtime.clickhouse import ClickHouse, ClickHouseRejected, ClickHouseUnavailable, plan
from pipeline.runtime.settings import Settings
from schemas.clickhouse import load_migrations
from schemas.clickhouse.cluster import Cluster, for_cluster

Open = Callable[..., ClickHouse]


@pytest.fixture
def served(clickhouse_dir: Path) -> Path:
    return clickhouse_dir / "clickhouse"


@pytest.fixture
async def open_clickhouse(make_settings: Callable[..., Settings]) -> AsyncIterator[Open]:
    made: list[ClickHouse] = []

    def start(url: str, **settings: str) -> ClickHouse:
        made.append(ClickHouse.open(make_settings(clickhouse_url=url, database="default", **settings)))
        return made[-1]

    yield start
    for clickhouse in made:
        clickhouse.close()


@pytest.fixture
def stand_in(served: Path) -> Iterator[StandIn]:
    with standing_in(served) as server:
        yield server


async def test_of_several_hosts_one_that_is_away_is_passed_over(served: Path, open_clickhouse: Open) -> None:
    with standing_in(served) as first:
        with standing_in(served) as second:
            clickhouse = open_clickhouse(f"http://127.0.0.1:{first.port},127.0.0.1:{second.port}")
            for _ in range(12):
                assert await clickhouse.query("SELECT 1") == [(1,)]
        for _ in range(12):
            assert await clickhouse.query("SELECT 1") == [(1,)]
            await clickhouse.command("SELECT 1")
    with pytest.raises(ClickHouseUnavailable):
        await clickhouse.query("SELECT 1")


async def test_a_read_whose_host_goes_away_is_made_of_another(served: Path, open_clickhouse: Open) -> None:
    with standing_in(served) as first:
        with standing_in(served) as second:
            clickhouse = open_clickhouse(f"http://127.0.0.1:{first.port},127.0.0.1:{second.port}")
            for _ in range(12):
                assert await clickhouse.query_bytes("SELECT 1 AS a") == b'{"a":1}\n'
        for _ in range(12):
            assert await clickhouse.query_bytes("SELECT 1 AS a") == b'{"a":1}\n'


async def test_a_query_is_stopped_on_the_host_that_runs_it(served: Path, open_clickhouse: Open) -> None:
    """Another server does not know it."""
    with standing_in(served) as first, standing_in(served) as second:
        clickhouse = open_clickhouse(f"http://127.0.0.1:{first.port},127.0.0.1:{second.port}")

        def hosts_of(words: str) -> list[StandIn]:
            return [host for host in (first, second) if any(words in one["query"] for one in host.requests)]

        for number in range(3):
            name = f"stopped_{number}"
            slow = f"SELECT sleepEachRow(1) AS {name} FROM numbers(300) SETTINGS max_block_size = 1"
            asking = asyncio.create_task(clickhouse.query_bytes(slow))
            await until(lambda name=name: hosts_of(name), "the query has come")
            (host,) = hosts_of(name)
            (mark,) = (one["query"].partition("SELECT")[0] for one in host.requests if name in one["query"])
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            await until(lambda mark=mark: hosts_of(f"'{mark}'"), "it is stopped")
            assert hosts_of(f"'{mark}'") == [host]


async def test_a_client_that_starts_while_a_host_is_away_uses_the_other(
    stand_in: StandIn, open_clickhouse: Open, free_port: Callable[[], int]
) -> None:
    for hosts in (
        f"127.0.0.1:{free_port()},127.0.0.1:{stand_in.port}",
        f"127.0.0.1:{stand_in.port},127.0.0.1:{free_port()}",
    ):
        assert await open_clickhouse(f"http://{hosts}").query("SELECT 1") == [(1,)]


async def test_the_server_is_verified_over_tls(served: Path, open_clickhouse: Open, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "one"), Authority(tmp_path / "other", "another authority")
    with standing_in(served, authority, password="hush") as server:
        trusting = open_clickhouse(server.url, clickhouse_ca_path=str(authority.ca))
        assert await trusting.query("SELECT {n:Int64}", {"n": 7}) == [(7,)]
        for ca in (str(stranger.ca), ""):
            with pytest.raises(ClickHouseUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await open_clickhouse(server.url, clickhouse_ca_path=ca).query("SELECT 1")


async def test_a_wrong_password_is_refused_in_words(served: Path, open_clickhouse: Open) -> None:
    with standing_in(served, password="hush") as server:
        with pytest.raises(ClickHouseRejected, match="Authentication failed") as caught:
            await open_clickhouse(server.url.replace("hush", "guess")).query("SELECT 1")
        assert "guess" not in str(caught.value)


async def test_a_long_answer_comes_in_pieces_and_one_that_fails_midway_is_no_answer(
    stand_in: StandIn, open_clickhouse: Open
) -> None:
    clickhouse = open_clickhouse(stand_in.url)
    whole = clickhouse.stream("SELECT number FROM numbers(300000)")
    assert b"".join(whole).count(b"\n") == 300_000
    whole.close()
    # Each of five blocks takes a second, and the last fails: seconds after the first could be sent. Faster, the engine
    # may come to the failure before it gives a block away, and then there is no answer to break off.
    sql = "SELECT number, sleep(1), throwIf(number = 299999) FROM numbers(300000) SETTINGS max_threads = 1"
    failing = clickhouse.stream(sql)
    with pytest.raises(ClickHouseUnavailable, match="broke off"):
        list(failing)
    failing.close()


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_bodies_and_answers_can_be_compressed(stand_in: StandIn, compression: str) -> None:
    with clickhouse_connect.get_client(host="127.0.0.1", port=stand_in.port, compress=compression) as client:
        client.command("CREATE TABLE IF NOT EXISTS default.compressed (n Int64) ENGINE = Memory")
        client.insert("default.compressed", [[n] for n in range(1000)], ["n"])
        assert client.query("SELECT count(), sum(n) FROM default.compressed").result_rows == [(1000, 499_500)]
        client.command("DROP TABLE default.compressed")


@pytest.mark.parametrize("is_sharded", [False, True])
async def test_a_cluster_gets_statements_it_can_read(clickhouse: ClickHouse, is_sharded: bool) -> None:
    cluster = Cluster("main", "d", is_sharded)
    made = [
        sql for migration in load_migrations() for each in migration.statements for sql in for_cluster(each, cluster)
    ]
    read = await clickhouse.query("SELECT formatQuery(arrayJoin({made:Array(String)}))", {"made": made})
    assert len(read) == len(made)
    assert all(sql.startswith("INSERT INTO ") or "ON CLUSTER" in sql for (sql,) in read)


async def test_a_replica_is_asked_for_what_was_acknowledged(stand_in: StandIn, open_clickhouse: Open) -> None:
    consistent = open_clickhouse(stand_in.url, clickhouse_cluster="main")
    assert await consistent.query("SELECT getSetting('select_sequential_consistency')") == [(1,)]
    with pytest.raises(ClickHouseRejected, match="cluster 'main' not found"):
        await plan(consistent)


async def test_nothing_is_planned_for_tables_of_this_release(clickhouse: ClickHouse) -> None:
    assert all(each.statements == () for each in await plan(clickhouse))


async def test_settings_of_one_call_are_not_those_of_the_next(stand_in: StandIn, open_clickhouse: Open) -> None:
    clickhouse = open_clickhouse(stand_in.url)
    seconds = "SELECT getSetting('max_execution_time')"
    assert [await clickhouse.query(seconds, timeout_seconds=given) for given in (7, None, 9, None)] == [
        [(value,)] for value in (7, 30, 9, 30)
    ]
