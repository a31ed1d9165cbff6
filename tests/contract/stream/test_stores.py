"""What a partition's store promises, held by both of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.stream.stores import MemoryStore, PartitionStore, RocksStore


@pytest.fixture(params=["memory", "rocksdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PartitionStore]:
    made = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "tables" / "p-0.db")
    yield made
    made.close()


def test_an_empty_store_has_no_offset(store: PartitionStore) -> None:
    assert store.offset is None
    assert store.get_many([b"a", b"b"]) == [None, None]
    assert store.get_many([]) == []
    assert list(store.scan()) == []


def test_a_write_changes_states_and_offset_together(store: PartitionStore) -> None:
    store.write([(b"a", b"1"), (b"b", b"2")], [], 7)
    store.write([(b"b", b"3")], [b"a", b"never there"], 9)
    assert store.get_many([b"b", b"a", b"b"]) == [b"3", None, b"3"]
    assert store.offset == 9


def test_a_scan_shows_persons_only(store: PartitionStore) -> None:
    store.write([(b"\x00applied", b"marker"), (b"a", b"1"), (b"\xff", b"2")], [], 1)
    assert sorted(store.scan()) == [(b"a", b"1"), (b"\xff", b"2")]
    assert store.get_many([b"\x00applied"]) == [b"marker"]


def test_wiping_leaves_nothing(store: PartitionStore) -> None:
    store.write([(b"a", b"1")], [], 7)
    store.wipe()
    assert store.offset is None
    assert store.get_many([b"a"]) == [None]
    store.write([(b"a", b"2")], [], 3)
    assert store.get_many([b"a"]) == [b"2"]


@pytest.fixture
def open_rocks(tmp_path: Path) -> Callable[[], RocksStore]:
    return lambda: RocksStore(tmp_path / "p-1.db")


def test_rocksdb_is_still_there_when_opened_again(open_rocks: Callable[[], RocksStore]) -> None:
    store = open_rocks()
    store.write([(b"a", b"1")], [], 7)
    store.close()
    again = open_rocks()
    assert again.offset == 7
    assert again.get_many([b"a"]) == [b"1"]
    again.close()


def test_a_damaged_database_is_replaced_by_an_empty_one(open_rocks: Callable[[], RocksStore], tmp_path: Path) -> None:
    store = open_rocks()
    store.write([(b"a", b"1")], [], 7)
    store.close()
    (tmp_path / "p-1.db" / "CURRENT").write_text("nonsense\n")
    again = open_rocks()
    assert again.offset is None
    again.close()


def test_two_workers_cannot_open_the_same_database(open_rocks: Callable[[], RocksStore]) -> None:
    store = open_rocks()
    with pytest.raises(Exception, match="lock"):
        open_rocks()
    store.close()
