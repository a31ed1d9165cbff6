"""A control plane in the real databases, SQLite and PostgreSQL.

`dsn`    of an empty database, one of each kind
`store`  a migrated control plane in it
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Authority

from deploy.local.process import ChildProcess
from pipeline.control import ControlPlane, migrate_control_plane
from pipeline.control.engine import build_engine


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], postgres_authority: Authority
) -> Iterator[str]:
    """The DSN of a server of our own, which does TLS for those who ask for it."""
    if not shutil.which("postgres") or not shutil.which("initdb"):
        pytest.skip("no PostgreSQL server on the PATH")
    # It refuses to run as root, so for root it runs as `nobody`, in a folder of theirs.
    as_nobody = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    folder = tmp_path_factory.mktemp("postgres")
    if as_nobody:
        _open_way_to(folder)
        try:
            shutil.chown(folder, **as_nobody)
        except (OSError, LookupError) as error:
            pytest.skip(f"PostgreSQL does not run as root, and root cannot become nobody here: {error}")
    data, port = folder / "data", free_port()
    command = ["initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    made = subprocess.run(command, **as_nobody, cwd=folder, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    options = ["-k", "", "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", *_tls(postgres_authority, data)]
    if as_nobody:
        shutil.chown(data / "server.key", **as_nobody)
    server = ["postgres", "-D", str(data), "-p", str(port), *options]
    if as_nobody:
        server = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *server]
    child = ChildProcess("postgres", server, folder.parent / "postgres.log")
    child.start()
    dsn = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    try:
        child.wait_until(lambda: _connects(dsn), 30)
        yield dsn
    finally:
        child.stop(10)


@pytest.fixture(scope="session")
def postgres_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the server's certificate."""
    return Authority(tmp_path_factory.mktemp("authority"))


def _tls(authority: Authority, data: Path) -> list[str]:
    for source, name in zip(authority.issue("server"), ("server.crt", "server.key"), strict=True):
        shutil.copy(source, data / name)
    return ["-c", "ssl=on"]


def _open_way_to(folder: Path) -> None:
    """Let another user pass through the folders pytest has made, and no further up."""
    for parent in [folder, *folder.parents]:
        if parent == Path(tempfile.gettempdir()):
            return
        parent.chmod(parent.stat().st_mode | 0o011)


def _connects(dsn: str) -> bool:
    engine = build_engine(dsn, writes=False)
    try:
        with engine.connect():
            return True
    except Exception:
        return False


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
