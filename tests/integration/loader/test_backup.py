"""Backup and restore where the stores are servers: the tables over ClickHouse's HTTP protocol (chDB behind a stand-in
for a server), a broker that stays, the backup in a folder or in S3.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_over_chdb import StandIn, standing_in
from cryptography.fernet import Fernet
from loader_log import Log, dump, random_events, until
from pydantic import SecretStr
from s3_server import S3

from deploy.backup import command
from deploy.backup.manifest import BackupError
from deploy.backup.place import Place
from pipeline.control import ControlPlane, prepare_control_plane
from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.secret_box import SecretBoxError
from pipeline.runtime.settings import Settings
from schemas.control import App
from schemas.topics import Topic


@pytest.fixture(scope="module")
def server(clickhouse_dir: Path) -> Iterator[StandIn]:
    with standing_in(clickhouse_dir / "clickhouse") as running:
        yield running


@pytest.fixture
def settings(log: Log, server: StandIn, tmp_path: Path) -> Settings:
    return log.settings.model_copy(
        update={
            "clickhouse_url": SecretStr(f"{server.url}/kept_{uuid4().hex[:12]}"),
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


@pytest.mark.parametrize("kind", ["folder", "s3"])
async def test_what_was_lost_comes_back_and_kafka_fills_in_what_came_since(
    kind: str, log: Log, tables: ClickHouse, settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "s3":
        request.getfixturevalue("s3")
    place, group = Place.of(f"{S3}/{uuid4().hex}" if kind == "s3" else str(tmp_path / "backups")), uuid4().hex
    prepare_control_plane(settings)
    store = ControlPlane(settings.control_plane_dsn())
    store.create_app(App("shop", "Shop"), 1)
    for seed in range(4):
        await log.send(Topic.EVENTS, random_events(seed, 100), partition=seed)
    await log.load(tables, group)
    told: list[str] = []
    made = await command.backup(settings, place, "", 7.0, told.append)
    assert told[1].endswith("all of them")
    assert await command.check(settings, place, "", told.append) == []
    for seed in range(4, 8):
        await log.send(Topic.EVENTS, random_events(seed, 100), partition=seed - 4)
    await log.load(tables, group)
    before = await dump(tables)
    with pytest.raises(BackupError, match=r"the control plane holds something already \(apps\)"):
        await command.restore(settings, place, "", told.append)

    await tables.command(f"TRUNCATE TABLE {tables.database}.events")
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
    log: Log, tables: ClickHouse, settings: Settings, tmp_path: Path
) -> None:
    """The offsets of the lost Kafka mean nothing in the new one."""
    place, told = Place.of(str(tmp_path / "backups")), list[str]()
    prepare_control_plane(settings)
    end = await log.send(Topic.TOUCHES, b"", partition=0) + 1
    await tables.command(f"INSERT INTO loaded_offsets VALUES ('touches', 0, {end + 100}, 1)")
    await command.backup(settings, place, "", 7.0, told.append)
    (tmp_path / "control.db").unlink()
    await tables.command(f"DROP DATABASE {tables.database} SYNC")
    assert await command.restore(settings, place, "", told.append) == []
    assert any(line.startswith("touches: not the topics of the backup") for line in told)
    assert await tables.query("SELECT * FROM loaded_offsets") == []
