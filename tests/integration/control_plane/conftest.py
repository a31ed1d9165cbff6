"""A control plane in the real databases, SQLite and PostgreSQL.

`dsn`    of an empty database, one of each kind
`store`  a migrated control plane in it
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from postgres_process import PostgresServer

from pipeline.control import ControlPlane, migrate_control_plane
from pipeline.control.engine import build_engine


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, postgres_authority: Authority) -> Iterator[str]:
    """The DSN of a server of our own, which does TLS for those who ask for it."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), postgres_authority)
    server.start()
    try:
        yield server.dsn
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the server's certificate."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=["sqlite", "postgresql"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/a folder, made # when needed/control.db"
        return
    url = request.getfixturevalue("postgres")
    yield url
    engine = build_engine(url, writes=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")


@pytest.fixture
def store(dsn: str) -> Iterator[ControlPlane]:
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    yield store
    store.close()
