"""`attrikit copy-tables`: tables of one server, copied into a cluster of two shards, stopped in between."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import pytest
from clickhouse_over_chdb import standing_in, standing_in_process
from query_world import World, insert_world, rows_beside
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.table_copy import command
from deploy.table_copy.command import FILLED_BY_VIEWS, TABLES, CopyRefused, PageSize, Progress, copy_tables, differences
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseUnavailable, migrate
from pipeline.runtime.settings import Settings
from schemas.facts import encode_rows

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with standing_in_process(tmp_path_factory.mktemp("copied"), shards=2) as url:
        yield url


@pytest.fixture
def cluster(shards: str, request: pytest.FixtureRequest) -> Iterator[ClickHouse]:
    of_cluster = {"clickhouse_cluster": "main", "clickhouse_sharded": True}
    opened = ClickHouse.open(Settings(clickhouse_url=f"{shards}/{request.node.name[:60]}", **of_cluster))
    yield opened
    opened.close()


async def test_a_copy_that_was_stopped_goes_on_and_says_the_same_in_the_end(
    clickhouse: ClickHouse, cluster: ClickHouse, alpha: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = msgspec.structs.replace(
        alpha.events[0], event_id="'tab\t\\ \n 名 \u2028", properties='{"a": "\\r\\n\\u0000"}'
    )
    beside = rows_beside(alpha)
    await insert_world(clickhouse, alpha)
    for table, rows in ({"events": [odd]} | {name: rows for name, rows in beside.items() if name != "events"}).items():
        await clickhouse.insert_ndjson(table, encode_rows(rows))
    await clickhouse.insert_ndjson("loaded_offsets", b'{"topic": "events", "partition": 0, "next_offset": 7}')
    note, noted = command._note, list[str]()

    async def stop(target: ClickHouse, table: str, progress: Progress) -> None:
        noted.append(table)
        if noted.count("events") == 3:
            raise ClickHouseUnavailable("stopped after a page, before it was noted")
        await note(target, table, progress)

    monkeypatch.setattr(command, "_note", stop)
    said = list[str]()
    with pytest.raises(ClickHouseUnavailable, match="stopped"):
        await copy_tables(clickhouse, cluster, said.append, PageSize(rows=40))
    monkeypatch.undo()
    assert await copy_tables(clickhouse, cluster, said.append, PageSize(bytes=20_000)) == []
    assert f"events: {len(alpha.events) + 1} rows, the same in both" in said
    assert sum(line.endswith("the same in both") for line in said) == len(TABLES) + len(FILLED_BY_VIEWS)
    times = "SELECT event_id, stored_at_ms FROM events FINAL ORDER BY event_id"
    assert await cluster.query(times) == await clickhouse.query(times)
    for table in ("sessions", "attributions"):
        taken_back = f"SELECT count() FROM {table} WHERE is_deleted"
        assert (await cluster.query(taken_back))[0][0] == (await clickhouse.query(taken_back))[0][0] > 0
    said.clear()
    assert await copy_tables(clickhouse, cluster, said.append) == []
    assert sum(line.endswith("were copied before") for line in said) == len(TABLES)

    gone = "ALTER TABLE events DELETE WHERE event_id = {id:String} SETTINGS mutations_sync = 1"
    await clickhouse.command(gone, {"id": odd.event_id})
    (line,) = await differences(clickhouse, cluster, said.append)
    assert line.startswith(f"events: {len(alpha.events)} rows in the source, {len(alpha.events) + 1} here")


@dataclass
class Kill:
    """SIGKILL for a process that copies, at a statement of a kind. `is_run`: the server runs it all the same."""

    kind: str
    nth: int = 1
    is_run: bool = True
    process: subprocess.Popen[str] | None = None

    def __call__(self, statement: str) -> None:
        if self.process is None or not statement.startswith(self.kind):
            return
        self.nth -= 1
        if self.nth == 0:
            self.process.kill()
            self.process.wait()
            if not self.is_run:
                raise ConnectionError


KILLS = (
    Kill("CREATE DATABASE"),
    Kill("CREATE TABLE", nth=9, is_run=False),
    Kill("INSERT INTO table_copies", is_run=False),
    Kill("INSERT INTO events", nth=2, is_run=False),
    Kill("INSERT INTO events", nth=2),
    Kill("INSERT INTO table_copies", nth=2, is_run=False),
    Kill("INSERT INTO touches"),
    Kill("SELECT count(), sum(cityHash64", nth=5),
)
"""Each of a further run; of a kind, those statements that a run still has to make."""


async def test_a_copy_that_was_killed_anywhere_goes_on(
    clickhouse: ClickHouse, clickhouse_dir: Path, alpha: World, tmp_path: Path
) -> None:
    await insert_world(clickhouse, alpha)
    for table, rows in rows_beside(alpha).items():
        await clickhouse.insert_ndjson(table, encode_rows(rows))
    large = """concat('{"note": "', repeat('long ', 1000), '"}') AS properties"""
    many = f"SELECT * REPLACE (concat(event_id, '-', toString(copy)) AS event_id, {large}) FROM events"
    await clickhouse.command(f"INSERT INTO events {many} ARRAY JOIN range(60) AS copy")
    with standing_in(clickhouse_dir / "clickhouse") as server:
        target = f"{server.url}/{clickhouse.database}_copy"
        copy = partial(start_copy, f"{server.url}/{clickhouse.database}", target, tmp_path)
        for kill in KILLS:
            server.before = kill
            kill.process = copy()
            said = await asyncio.to_thread(kill.process.communicate)
            assert kill.process.returncode == -9, (kill, said)
        server.before = lambda _: None
        for options, end in ((), "both say the same\n"), (("--check",), "both say the same\n"):
            process = copy(*options)
            out, err = await asyncio.to_thread(process.communicate)
            assert (process.returncode, out.endswith(end)) == (0, True), (out, err)
    ids = f"SELECT count(), uniqExact(app_id, event_id) FROM {clickhouse.database}{{}}.events FINAL"
    assert await clickhouse.query(ids.format("_copy")) == await clickhouse.query(ids.format(""))
    await clickhouse.command(f"DROP DATABASE {clickhouse.database}_copy")


def start_copy(source: str, target: str, folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start `attrikit copy-tables` as a process."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ATTRIKIT_")}
    own |= {"ATTRIKIT_DATA_DIR": str(folder), "ATTRIKIT_CLICKHOUSE_URL": target, "SOURCE_CLICKHOUSE_URL": source}
    argv = [sys.executable, "-P", "-m", "deploy.cli", "copy-tables", *options]
    return subprocess.Popen(argv, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def test_nothing_is_overwritten_and_another_release_is_refused(
    clickhouse: ClickHouse, cluster: ClickHouse, alpha: World
) -> None:
    said = list[str]()
    await migrate(cluster)
    await cluster.insert_ndjson("events", encode_rows(alpha.events[:1]))
    with pytest.raises(CopyRefused, match=r"hold something already \(events_local\)"):
        await copy_tables(clickhouse, cluster, said.append)
    await cluster.command("TRUNCATE TABLE events_local")
    assert await copy_tables(clickhouse, cluster, said.append) == []
    await clickhouse.command("CREATE TABLE others AS events")
    await clickhouse.command("EXCHANGE TABLES others AND events")
    with pytest.raises(CopyRefused, match="a copy of other tables was begun here"):
        await copy_tables(clickhouse, cluster, said.append)
    await clickhouse.command("TRUNCATE TABLE schema_migrations")
    with pytest.raises(CopyRefused, match="the source lacks migrations 0001"):
        await copy_tables(clickhouse, cluster, said.append)


def test_the_command_copies_and_compares(shards: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DATA_DIR": tmp_path / "data", "CLICKHOUSE_URL": f"{shards}/by_command"}.items():
        monkeypatch.setenv(f"ATTRIKIT_{name}", str(value))
    monkeypatch.setattr("pipeline.runtime.log.configure_logging", lambda *_: None)
    source = f"{shards}/source_of_command"

    def attrikit(*arguments: str, url: str) -> str:
        monkeypatch.setenv("ATTRIKIT_CLICKHOUSE_URL", url)
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        return result.output

    no_folder = CliRunner().invoke(app, ["copy-tables", "--from", "embedded"])
    assert (no_folder.exit_code, "there is no data folder" in no_folder.output) == (1, True)
    attrikit("migrate", url=source)
    assert "events: 0 rows copied" in attrikit("copy-tables", "--from", source, url=f"{shards}/by_command")
    assert attrikit("copy-tables", "--from", source, "--check", url=f"{shards}/by_command").endswith(
        "both say the same\n"
    )
    refused = CliRunner().invoke(app, ["copy-tables", "--from", "ftp://other"])
    assert refused.exit_code == 2
    monkeypatch.setenv("ATTRIKIT_CLICKHOUSE_URL", source)
    for options in ((), ("--check",)):
        itself = CliRunner().invoke(app, ["copy-tables", "--from", source, *options])
        assert (itself.exit_code, "those to copy into" in itself.output) == (1, True)
