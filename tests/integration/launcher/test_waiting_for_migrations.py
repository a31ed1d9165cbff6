"""`attrikit migrate --wait`: processes start when the stores have what their release needs, or more."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_over_chdb import standing_in
from sqlalchemy import text

from deploy.migrations import missing, wait_until_ready
from pipeline.control import migrate_control_plane
from pipeline.control.engine import build_engine
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseUnavailable, migrate, migrate_or_look
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.clickhouse import load_migrations


@pytest.fixture
def settings(clickhouse_dir: Path, broker: str, make_settings: Callable[..., Settings]) -> Iterator[Settings]:
    with standing_in(clickhouse_dir / "clickhouse") as server:
        url = f"{server.url}/waiting_{uuid4().hex[:12]}"
        yield make_settings(kafka_bootstrap=broker, clickhouse_url=url)


async def test_each_store_is_waited_for_and_a_newer_one_is_enough(settings: Settings) -> None:
    await ensure_topics(settings)
    said: list[str] = []
    lacking = await wait_until_ready(settings, 0.0, said.append)
    assert [line.split(":")[0].split(" 0")[0] for line in lacking] == [
        "the control plane's database",
        "ClickHouse migrations",
    ]
    migrate_control_plane(settings.control_plane_dsn(), "0009")
    with closing(ClickHouse.open(settings)) as clickhouse:
        await migrate(clickhouse, load_migrations()[:-1])
        newest = f"{load_migrations()[-1].number:04}"
        control_plane, tables = await missing(settings)
        assert control_plane.endswith("it is at 0009_privacy")
        assert tables == f"ClickHouse migrations {newest}"
        with pytest.raises(ClickHouseUnavailable, match=f"migrations {newest} are missing: run `attrikit migrate`"):
            await migrate_or_look(clickhouse)
        await migrate(clickhouse)
        migrate_control_plane(settings.control_plane_dsn())
        assert await wait_until_ready(settings, 0.0, said.append) == []
        await clickhouse.command("INSERT INTO schema_migrations SELECT 9999, 'of a newer release', '', 0")
        engine = build_engine(settings.control_plane_dsn(), writes=True)
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        assert await missing(settings) == []
        await migrate_or_look(clickhouse)
        await clickhouse.command(f"DROP DATABASE {clickhouse.database}")
    assert said == []


async def test_a_store_that_does_not_answer_is_named(
    settings: Settings, make_settings: Callable[..., Settings], free_port: Callable[[], int]
) -> None:
    away = make_settings(kafka_bootstrap=f"127.0.0.1:{free_port()}", clickhouse_url=f"http://127.0.0.1:{free_port()}")
    assert [line.split(":")[0] for line in await missing(away)] == [
        "Kafka",
        "the control plane's database",
        "ClickHouse",
    ]
