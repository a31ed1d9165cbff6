"""The whole HTTP API on real sockets, with one app's facts behind it.

`served`  gateway and query service (see `served_api`)
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzzing import IS_FULL, SEED
from query_world import insert_world, make_world
from served_api import APP_ID, ENDPOINT_ID, ServedApi, make_control_plane
from webhook_rows import insert_attempts

from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.settings import Settings


@pytest.fixture(scope="session")
def served(clickhouse_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    folder = tmp_path_factory.mktemp("api")
    settings = Settings(
        data_dir=clickhouse_dir,
        database="api_tests",
        control_plane_url=f"sqlite:///{folder}/control.db",
        export_url=folder.as_uri(),
        export_max_unfinished=10**6,
    )
    make_control_plane(settings.control_plane_dsn())
    clickhouse = ClickHouse.open(settings)

    async def fill() -> None:
        await migrate(clickhouse)
        await insert_world(clickhouse, make_world(APP_ID, seed=1))
        await insert_attempts(clickhouse, APP_ID, ENDPOINT_ID)

    asyncio.run(fill())
    api = ServedApi(settings, clickhouse)
    api.start()
    yield api
    api.stop()
    clickhouse.close()


def pytest_collection_finish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IS_FULL and reporter is not None:
        reporter.write_line(f"fuzzing in full: FUZZ_SEED={SEED} does the same again")
