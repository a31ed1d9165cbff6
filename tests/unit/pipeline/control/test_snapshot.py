"""The source's own behaviour over a store that answers what it is told; the real database is in tests/integration."""

import math
import os
import threading

import pytest
import structlog.testing
from waiting import until

from pipeline.control import SnapshotNotLoaded, SnapshotSource
from schemas.control import App, Snapshot


class Store:
    """In place of `ControlPlane`: answers `answer`, or raises it."""

    def __init__(self) -> None:
        self.answer: dict[str, App] | Exception = {}
        self.reads = 0

    def snapshot(self, now_ms: int) -> Snapshot:
        self.reads += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return Snapshot(self.answer, {}, now_ms)

    def close(self) -> None: ...


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def source(store) -> SnapshotSource:
    source = SnapshotSource("sqlite://", refresh_seconds=0.01)
    source._store = store
    return source


def test_nothing_is_there_before_the_first_read(source):
    with pytest.raises(SnapshotNotLoaded, match="not been read yet"):
        source.current()
    assert not source.is_loaded
    assert math.isnan(source.age_seconds())


def test_the_last_snapshot_stays_while_the_database_is_away(source, store):
    store.answer = {"shop": App("shop", "Shop")}
    assert source.refresh()
    store.answer = OSError("gone")
    assert not source.refresh()
    assert source.current().apps == {"shop": App("shop", "Shop")}
    assert source.age_seconds() >= 0


def test_an_outage_is_logged_once_without_the_driver_s_words(source, store):
    with structlog.testing.capture_logs() as logs:
        store.answer = OSError("postgresql://user:secret@db")
        for _ in range(5):
            source.refresh()
        store.answer = {}
        source.refresh()
        source.refresh()
    assert [entry["event"] for entry in logs] == ["control_plane_away", "control_plane_back"]
    assert "secret" not in str(logs)


async def test_it_refreshes_by_itself_and_stops(source, store):
    before = _refreshing()
    await source.start()
    assert source.is_loaded
    started = _refreshing() - before
    assert len(started) == 1
    store.answer = {"shop": App("shop", "Shop")}
    await until(lambda: source.current().apps, "the app is read", 20)
    await source.stop()
    await until(lambda: not started & _refreshing(), "its thread ends", 20)


def _refreshing() -> set[threading.Thread]:
    """The threads of all sources of this process: another test's may still be there."""
    return {thread for thread in threading.enumerate() if thread.name == "control-plane"}


async def test_start_returns_although_the_database_is_away_and_catches_up_later(source, store):
    store.answer = OSError("gone")
    await source.start()
    assert not source.is_loaded
    store.answer = {}
    await until(lambda: source.is_loaded, "the first snapshot is read", 20)
    await source.stop()


def test_a_file_that_has_not_changed_is_not_read_again(store, tmp_path):
    path = tmp_path / "control.db"
    path.write_bytes(b"1")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    source = SnapshotSource(f"sqlite:///{path}", refresh_seconds=0.01)
    source._store = store
    assert source.refresh()
    store.answer = {"shop": App("shop", "Shop")}
    taken_at_ms = source.current().taken_at_ms
    while source.current().taken_at_ms == taken_at_ms:  # its age counts from when it was known to hold
        assert source.refresh()
    assert store.reads == 1
    path.write_bytes(b"two")
    assert source.refresh()
    assert source.current().apps == store.answer
