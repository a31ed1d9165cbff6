"""Backup and restore where the stores are servers: the tables over ClickHouse's HTTP protocol (chDB behind a stand-in
for a server, and for two shards), a broker that stays, the backup in a folder or in S3.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from clickhouse_over_chdb import standing_in, standing_in_process
from cryptography.fernet import Fernet
from loader_log import Log, dump, random_events, until
from pydantic import SecretStr
from s3_server import S3
from waiting import until as until_true

from deploy.backup import command
from deploy.backup.manifest import BackupError
from deploy.backup.place import Place
from pipeline.control import ControlPlane, prepare_control_plane
from pipeline.control.migrate import one_runner
from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.secret_box import SecretBoxError
from pipeline.runtime.settings import Settings
from schemas.control import App
from schemas.topics import Topic


@pytest.fixture(scope="module", params=["one server", "two shards"])
def server(request: pytest.FixtureRequest, clickhouse_dir: Path, tmp_path_factory: Any) -> Iterator[dict[str, Any]]:
    """Settings of it, without the database."""
    if request.param == "one server":
        with standing_in(clickhouse_dir / "clickhouse") as running:
            yield {"clickhouse_url": running.url}
        return
    with standing_in_process(tmp_path_factory.mktemp("shards"), 2) as url:
        yield {"clickhouse_url": url, "clickhouse_cluster": "main", "clickhouse_sharded": True}


@pytest.fixture
def settings(log: Log, server: dict[str, Any], tmp_path: Path) -> Settings:
    return log.settings.model_copy(
        update=server
        | {
            "clickhouse_url": SecretStr(f"{server['clickhouse_url']}/kept_{uuid4().hex[:12]}"),
            "control_plane_url": SecretStr(f"sqlite:///{tmp_path}/control.db"),
            "webhook_key": SecretStr(Fernet.generate_key().decode()),
        }
    )


@pytest.fixture
async def tables(settings: Settings) -> AsyncIterator[ClickHouse]:
    opened = ClickHouse.open(settings)
    await migrate(opened)
    yield opened
    await opened.command(f"DROP DATABASE IF EXISTS {opened.database}")
    opened.close()


@pytest.fixture
def place(server: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """A folder for one server, which is on this machine; a bucket for shards."""
    if "clickhouse_cluster" not in server:
        return Place.of(str(tmp_path / "backups"))
    request.getfixturevalue("s3")
    return Place.of(f"{S3}/{uuid4().hex}")


async def test_what_was_lost_comes_back_and_kafka_fills_in_what_came_since(
    log: Log, tables: ClickHouse, settings: Settings, place: Place, tmp_path: Path
) -> None:
    group, told = uuid4().hex, list[str]()
    prepare_control_plane(settings)
    store = ControlPlane(settings.control_plane_dsn())
    store.create_app(App("shop", "Shop"), 1)
    for seed in range(4):
        await log.send(Topic.EVENTS, random_events(seed, 100), partition=seed)
    await log.load(tables, group)
    made = await command.backup(settings, place, "", 7.0, told.append)
    assert told[1].endswith("all of them")
    assert await command.check(settings, place, "", told.append) == []
    for seed in range(4, 8):
        await log.send(Topic.EVENTS, random_events(seed, 100), partition=seed - 4)
    await log.load(tables, group)
    before = await dump(tables)
    with pytest.raises(BackupError, match=r"the control plane holds something already \(apps\)"):
        await command.restore(settings, place, "", told.append)

    await tables.command(f"TRUNCATE TABLE {tables.cluster.stored('events') if tables.cluster else 'events'}")
    assert await command.check(settings, place, made.name, told.append) != []
    (tmp_path / "control.db").unlink()
    with pytest.raises(BackupError, match="the tables hold something already"):
        await command.restore(settings, place, "", told.append)
    await tables.command(f"DROP DATABASE {tables.database} SYNC")
    other_key = settings.model_copy(update={"webhook_key": SecretStr(Fernet.generate_key().decode())})
    with pytest.raises(SecretBoxError, match="another key"):
        await command.restore(other_key, place, "", told.append)

    told.clear()
    assert await command.restore(settings, place, "", told.append) == []
    assert "events: 4 records since the backup will be loaded from Kafka" in told
    assert [app.app_id for app in store.apps()] == ["shop"]

    async def is_as_before() -> bool:
        return await dump(tables) == before

    async with log.loading(tables, group) as running:
        await until(is_as_before, running)


async def test_topics_of_another_kafka_are_loaded_from_their_beginning(
    log: Log, tables: ClickHouse, settings: Settings, place: Place, tmp_path: Path
) -> None:
    """The offsets of the lost Kafka mean nothing in the new one."""
    told = list[str]()
    prepare_control_plane(settings)
    end = await log.send(Topic.TOUCHES, b"", partition=0) + 1
    await tables.command(f"INSERT INTO loaded_offsets VALUES ('touches', 0, {end + 100}, 1)")
    await command.backup(settings, place, "", 7.0, told.append)
    (tmp_path / "control.db").unlink()
    await tables.command(f"DROP DATABASE {tables.database} SYNC")
    assert await command.restore(settings, place, "", told.append) == []
    assert any(line.startswith("touches: not the topics of the backup") for line in told)
    assert await tables.query("SELECT * FROM loaded_offsets") == []


async def test_a_restore_waits_for_another_that_migrates(
    tables: ClickHouse, settings: Settings, place: Place, tmp_path: Path
) -> None:
    told, waits = list[str](), ["waiting for another that migrates"]
    prepare_control_plane(settings)
    await command.backup(settings, place, "", 7.0, lambda _: None)
    (tmp_path / "control.db").unlink()
    await tables.command(f"DROP DATABASE {tables.database} SYNC")
    restoring = asyncio.to_thread(lambda: asyncio.run(command.restore(settings, place, "", told.append)))
    with one_runner(settings.control_plane_dsn(), told.append):
        task = asyncio.create_task(restoring)
        await until_true(lambda: told == waits, "it waits")
        assert not (tmp_path / "control.db").exists()
    assert await task == []
    assert told[0] == waits[0]
    assert told.count(waits[0]) == 1
