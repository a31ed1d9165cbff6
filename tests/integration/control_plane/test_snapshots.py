"""Snapshots of the control plane in other processes, of a file that is written meanwhile, moved away and brought
back.
"""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from pipeline.control import ControlPlane, SnapshotSource, migrate_control_plane
from pipeline.control.file_watch import FileWatch
from pipeline.control.rules import secret_hash
from schemas.control import DEFAULT_GOALS, App, Scope

BOTH = [Scope.READ, Scope.WRITE]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


@pytest.fixture
def dsn(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
async def source(dsn: str) -> AsyncIterator[SnapshotSource]:
    """To be started by the test."""
    source = SnapshotSource(dsn, refresh_seconds=0.02)
    yield source
    await source.stop()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_source_writes_the_use_of_keys_now_and_then_and_at_its_end(source, dsn):
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    store.create_app(App("shop", "Shop"), 1)
    key_id = store.create_key("shop", BOTH, 1).key_id

    def last_use() -> int | None:
        return store.keys()[0].last_used_at_ms

    await source.start()
    source.note_use(key_id)
    await _until(lambda: last_use() is not None)
    first = last_use()
    async with asyncio.timeout(20):
        while source._usage.unwritten() == {}:  # until the clock shows another millisecond
            source.note_use(key_id)
            await asyncio.sleep(0)
    await _until(lambda: source.current().taken_at_ms > (first or 0) + 50)
    assert last_use() == first, "the minute is not over"
    await source.stop()
    assert (last_use() or 0) > (first or 0)


async def test_a_source_learns_of_new_keys_and_outlives_the_database(source, dsn, path):
    """The file is moved away and back: what was known stays in force, and the source never makes a file of its own."""
    away = path.with_name("away.db")
    await source.start()
    assert not source.is_loaded
    assert not path.exists()

    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    store.create_app(App("shop", "Shop"), 1)
    first = secret_hash(store.create_key("shop", BOTH, 1).secret)
    await _until(lambda: source.is_loaded and first in source.current().keys_by_sha256)

    path.rename(away)
    await _until(lambda: source._is_away)
    assert first in source.current().keys_by_sha256
    assert not path.exists()

    away.rename(path)
    second = secret_hash(store.create_key("shop", BOTH, 2).secret)
    await _until(lambda: second in source.current().keys_by_sha256)


def test_a_reader_never_sees_half_a_transaction(dsn):
    """A snapshot taken while apps are being made always has all goals of every app."""
    migrate_control_plane(dsn)
    writer, reader = ControlPlane(dsn), ControlPlane(dsn)

    def write() -> None:
        for number in range(30):
            writer.create_app(App(f"app{number}", "x"), number)

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        assert all(app.goals == DEFAULT_GOALS for app in reader.snapshot(0).apps.values())
    thread.join()
    assert len(reader.snapshot(0).apps) == 30


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_every_transaction_shows_from_outside(path: Path, journal: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.execute("CREATE TABLE numbers (number)")
    watch = FileWatch(f"sqlite:///{path}")
    before = watch.look(0)
    assert before
    # A change of the size shows whatever the steps of the file system's clock are.
    connection.execute("INSERT INTO numbers VALUES (zeroblob(100000))")
    after = watch.look(0)
    connection.close()
    assert after
    assert after.marks != before.marks
