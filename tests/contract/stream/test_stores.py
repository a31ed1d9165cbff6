"""Contract of a partition's store, held by both implementations."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import rocksdict

from pipeline.stream.partition.stores import MemoryStore, PartitionStore, RocksStore, StoreDamaged
from pipeline.stream.partition.wakeups import UNKNOWN

PERSONS = 3_000
PERSONS_AT = {0: 1_000, 1_000: 2_000, 2_000: PERSONS, PERSONS: PERSONS}
"""Persons by the offset of the last write contained: an older store is brought up to date from the changelog."""


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


def _note_all(store: PartitionStore, wakeups: dict[bytes, bytes]) -> None:
    store.forget_wakeups()
    store.note_wakeups(wakeups.items())
    store.complete_wakeups()


def test_wakeups_are_kept_with_the_states_once_all_are_noted(store: PartitionStore) -> None:
    store.write([(b"a", b"1"), (b"b", b"2")], [], 1, {b"a": b"A-------"})
    assert list(store.wakeups()) == []
    _note_all(store, {b"a": b"AAAAAAAA", b"b": b"BBBBBBBB"})
    assert store.has_wakeups
    store.write([(b"\x00applied", b"m"), (b"c", b"3"), (b"b", b"4")], [b"a"], 2, {b"c": b"CCCCCCCC"})
    assert sorted(store.wakeups()) == [(b"b", UNKNOWN), (b"c", b"CCCCCCCC")]
    assert sorted(store.scan()) == [(b"b", b"4"), (b"c", b"3")]
    _note_all(store, {b"c": b"DDDDDDDD"})
    assert list(store.wakeups()) == [(b"c", b"DDDDDDDD")]


def test_wakeups_can_be_noted_while_they_are_read(store: PartitionStore) -> None:
    store.write([(b"%03d" % n, b"") for n in range(500)], [], 1)
    _note_all(store, {b"%03d" % n: UNKNOWN for n in range(500)})
    for key, wakeup in store.wakeups():
        assert wakeup == UNKNOWN
        store.note_wakeups([(key, b"DDDDDDDD")])
    assert {wakeup for _, wakeup in store.wakeups()} == {b"DDDDDDDD"}


def test_a_store_that_was_wiped_has_no_wakeups(store: PartitionStore) -> None:
    store.write([(b"a", b"1")], [], 1)
    _note_all(store, {b"a": b"AAAAAAAA"})
    store.wipe()
    assert not store.has_wakeups
    store.write([(b"a", b"1")], [], 1)
    assert list(store.wakeups()) == []


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


def test_wakeups_are_there_when_opened_again_unless_they_were_not_all_noted(
    open_rocks: Callable[[], RocksStore],
) -> None:
    store = open_rocks()
    store.write([(b"a", b"1"), (b"b", b"1")], [], 7)
    _note_all(store, {b"a": b"AAAAAAAA", b"b": UNKNOWN})
    store.write([(b"b", b"2")], [], 8, {b"b": b"BBBBBBBB"})
    store.close()
    store = open_rocks()
    assert store.has_wakeups
    assert list(store.wakeups()) == [(b"a", b"AAAAAAAA"), (b"b", b"BBBBBBBB")]
    store.forget_wakeups()
    store.note_wakeups([(b"a", b"AAAAAAAA")])
    store.close()
    store = open_rocks()
    assert not store.has_wakeups
    store.close()


def test_a_folder_an_earlier_version_has_gone_on_with_has_no_wakeups(
    open_rocks: Callable[[], RocksStore], tmp_path: Path
) -> None:
    store = open_rocks()
    store.write([(b"a", b"1")], [], 7)
    _note_all(store, {b"a": b"AAAAAAAA"})
    store.close()
    # It wrote nothing but the states and the offset.
    earlier = rocksdict.Rdict(str(tmp_path / "p-1.db"), rocksdict.Options(raw_mode=True))
    earlier.put(b"b", b"1")
    earlier.put(b"\x00changelog-offset", b"8")
    earlier.close()
    store = open_rocks()
    assert store.offset == 8
    assert not store.has_wakeups
    assert list(store.scan()) == [(b"a", b"1"), (b"b", b"1")]
    store.close()


def test_a_damaged_database_is_replaced_by_an_empty_one(open_rocks: Callable[[], RocksStore], tmp_path: Path) -> None:
    store = open_rocks()
    store.write([(b"a", b"1")], [], 7)
    store.close()
    (tmp_path / "p-1.db" / "CURRENT").write_text("nonsense\n")
    again = open_rocks()
    assert again.offset is None
    again.close()


@pytest.fixture(scope="module")
def whole_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 persons with their wakeups, in several files."""
    folder = tmp_path_factory.mktemp("whole") / "p-1.db"
    store, random = RocksStore(folder), Random(1)
    for start in range(0, PERSONS, 1_000):
        store.write([(b"%06d" % n, random.randbytes(100)) for n in range(start, start + 1_000)], [], start)
        store._db.flush()
    store.write([], [], PERSONS)
    _note_all(store, {b"%06d" % n: b"AAAAAAAA" for n in range(PERSONS)})
    store._db.flush()
    store.close()
    return folder


@pytest.mark.parametrize("seed", range(72))
def test_of_a_damaged_database_nothing_is_left_out_in_silence(whole_database: Path, tmp_path: Path, seed: int) -> None:
    """Whatever is done to a file: a store is whole, or it is empty and filled from the changelog; on the second start
    at the latest, without anybody's help."""
    folder = tmp_path / "p-1.db"
    shutil.copytree(whole_database, folder)
    damage(folder, Random(seed))
    try:
        found = _read_all(folder)
        assert found is None or found[1:] == (PERSONS_AT[found[0]],) * 3, "all there was at that offset"
    except StoreDamaged:
        # The next process; this one may be unable to close what is damaged.
        again = folder.rename(tmp_path / "p-2.db")
        assert _read_all(again) is None
        assert (tmp_path / "p-2.db.damaged").is_dir()


def damage(folder: Path, random: Random) -> None:
    names = ("LOG", "LOCK", "rocksdict-config.json")
    path = random.choice(sorted(path for path in folder.iterdir() if not path.name.startswith(names)))
    data = bytearray(path.read_bytes())
    kind = random.choice(["delete", "truncate", "overwrite", "clear"])
    if kind == "delete":
        path.unlink()
        return
    at = random.randrange(max(1, len(data)))
    if kind == "truncate":
        del data[at:]
    else:
        data[at : at + 64] = random.randbytes(len(data[at : at + 64])) if kind == "overwrite" else b""
    path.write_bytes(data)


def _read_all(folder: Path) -> tuple[int, int, int, int] | None:
    """The offset, and how many wakeups, states and gettable states there are; None: the store is empty.

    Raises `StoreDamaged`.
    """
    store = RocksStore(folder)
    try:
        if store.offset is None:
            return None
        found = store.get_many([b"%06d" % n for n in range(PERSONS)])
        scanned = sum(1 for _ in store.scan())
        # Without wakeups, they are worked out from the states.
        wakeups = sum(1 for _ in store.wakeups()) if store.has_wakeups else scanned
        return store.offset, wakeups, scanned, sum(item is not None for item in found)
    finally:
        store.close()


def test_two_workers_cannot_open_the_same_database(open_rocks: Callable[[], RocksStore]) -> None:
    store = open_rocks()
    with pytest.raises(Exception, match="lock"):
        open_rocks()
    store.close()
