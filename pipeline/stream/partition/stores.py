"""Stores of the states of a partition between groups: in memory, or in RocksDB on the worker's disk.

Either is a copy of the changelog up to `offset`; it may be lost at any time and is then read again.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import rocksdict

from pipeline.runtime.log import get_logger
from pipeline.stream.partition.visits import UNKNOWN

_INTERNAL: Final = b"\x00"
"""Keys that begin with it are ours, not a person's."""
_OFFSET_KEY: Final = b"\x00changelog-offset"
_VISITS_OFFSET_KEY: Final = b"\x00visits-offset"
"""The offset up to which everybody's visit is written too; a version that knows of none leaves it behind."""
_VISIT_PREFIX: Final = b"\x00v\x1f"
_VISIT_END: Final = b"\x00v\x20"
_FIRST_PERSON: Final = b"\x01"
_MIB: Final = 1024 * 1024
_DAMAGE_MARK: Final = "ATTRIKIT-DAMAGED"
_OBSTACLES: Final = (
    "lock file",
    "lock hold",
    "permission denied",
    "no space left",
    "too many open files",
    "read-only file system",
)
"""Errors of the operating system that leave the files whole."""
_Opened: TypeAlias = tuple[rocksdict.Rdict, bytes | None, bytes | None]
"""A database with its changelog offset, and the offset up to which it has the visits."""
_log = get_logger("stream.stores")

_NO_VISITS: Final[Mapping[bytes, bytes]] = {}


class PartitionStore(Protocol):
    """bytes → bytes. One write is atomic and carries the changelog offset it brings the store to.

    Beside each person's state stands the next visit (see `visits`), which is no part of the changelog: a store that was
    filled from there, or by a version that knew of none, has none until all have been noted.
    """

    @property
    def offset(self) -> int | None:
        """The last changelog offset contained; None when nothing is."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]: ...

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes],
        offset: int,
        visits: Mapping[bytes, bytes] = _NO_VISITS,
    ) -> None:
        """Write states. Where the store has visits, that of a person put and not found in `visits` is `UNKNOWN`."""
        ...

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        """Every person's state, in no particular order, internal keys left out."""
        ...

    @property
    def has_visits(self) -> bool:
        """Everybody's."""
        ...

    def visits(self) -> Iterator[tuple[bytes, bytes]]:
        """Every person's, as of now, even if some are noted meanwhile; those of an app in a row."""
        ...

    def note_visits(self, visits: Iterable[tuple[bytes, bytes]]) -> None:
        """Note the visits of persons who are stored."""
        ...

    def forget_visits(self) -> None:
        """Forget the notes, before all are noted anew."""
        ...

    def complete_visits(self) -> None:
        """Note that all are noted."""
        ...

    def wipe(self) -> None:
        """Forget everything."""
        ...

    def close(self) -> None: ...


class MemoryStore:
    def __init__(self) -> None:
        self._data: dict[bytes, bytes] = {}
        self._visits: dict[bytes, bytes] = {}
        self._offset: int | None = None
        self.has_visits = False

    @property
    def offset(self) -> int | None:
        return self._offset

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        get = self._data.get
        return [get(key) for key in keys]

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes],
        offset: int,
        visits: Mapping[bytes, bytes] = _NO_VISITS,
    ) -> None:
        for key, value in puts:
            self._data[key] = value
            if self.has_visits and not key.startswith(_INTERNAL):
                self._visits[key] = visits.get(key, UNKNOWN)
        for key in deletes:
            self._data.pop(key, None)
            self._visits.pop(key, None)
        self._offset = offset

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        return (item for item in self._data.items() if not item[0].startswith(_INTERNAL))

    def visits(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(self._visits.items()))

    def note_visits(self, visits: Iterable[tuple[bytes, bytes]]) -> None:
        self._visits.update(visits)

    def forget_visits(self) -> None:
        self._visits.clear()
        self.has_visits = False

    def complete_visits(self) -> None:
        self.has_visits = True

    def wipe(self) -> None:
        self._data.clear()
        self.forget_visits()
        self._offset = None

    def close(self) -> None:
        self.wipe()


class StoreDamaged(RuntimeError):
    """A store that cannot be read whole. It is set aside when it is opened next, and filled from the changelog."""


class RocksStore:
    """One database per partition under `path`. A damaged one is set aside as `….damaged`: the changelog has it all.

    RocksDB keeps a checksum of every block and a list of its files, so damage is noticed where it is read; `rocksdict`
    ends an iteration over damaged blocks as if there was no more, hence the look at the status (`_iterate`).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db, raw, visits_offset = self._open_or_replace()
        self._offset = None if raw is None else int(raw)
        self._has_visits = raw is not None and raw == visits_offset

    @property
    def offset(self) -> int | None:
        return self._offset

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._noticing_damage():
            found: Any = self._db.get(list(keys)) if keys else []
        return list(found)

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes],
        offset: int,
        visits: Mapping[bytes, bytes] = _NO_VISITS,
    ) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in puts:
            put(key, value)
            if self._has_visits and not key.startswith(_INTERNAL):
                put(_VISIT_PREFIX + key, visits.get(key, UNKNOWN))
        for key in deletes:
            batch.delete(key)
            if not key.startswith(_INTERNAL):
                batch.delete(_VISIT_PREFIX + key)
        raw_offset = str(offset).encode()
        put(_OFFSET_KEY, raw_offset)
        if self._has_visits:
            put(_VISITS_OFFSET_KEY, raw_offset)
        with self._noticing_damage():
            self._db.write(batch)
        self._offset = offset

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        return self._iterate(rocksdict.ReadOptions(), _FIRST_PERSON)

    @property
    def has_visits(self) -> bool:
        return self._has_visits

    def visits(self) -> Iterator[tuple[bytes, bytes]]:
        only = rocksdict.ReadOptions()
        only.set_iterate_upper_bound(_VISIT_END)
        start = len(_VISIT_PREFIX)
        return ((key[start:], visit) for key, visit in self._iterate(only, _VISIT_PREFIX))

    def note_visits(self, visits: Iterable[tuple[bytes, bytes]]) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, visit in visits:
            batch.put(_VISIT_PREFIX + key, visit)
        with self._noticing_damage():
            self._db.write(batch)

    def forget_visits(self) -> None:
        self._has_visits = False
        self._db.delete(_VISITS_OFFSET_KEY)
        self._db.delete_range(_VISIT_PREFIX, _VISIT_END)

    def complete_visits(self) -> None:
        if self._offset is not None:
            self._db.put(_VISITS_OFFSET_KEY, str(self._offset).encode())
            self._has_visits = True

    def wipe(self) -> None:
        self.close()
        shutil.rmtree(self._path)
        self._db = _open(self._path)
        self._offset, self._has_visits = None, False

    def close(self) -> None:
        """Close the store. What cannot be written any more is in the changelog."""
        with suppress(StoreDamaged), self._noticing_damage():
            self._db.close()

    def _iterate(self, options: rocksdict.ReadOptions, from_key: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Raises `StoreDamaged` where an iteration ends before the data does."""
        with self._noticing_damage():
            rows = self._db.iter(options)
            rows.seek(from_key)
            while rows.valid():
                yield rows.key(), rows.value()
                rows.next()
            rows.status()

    @contextmanager
    def _noticing_damage(self) -> Iterator[None]:
        """Leave a mark for the next start, as this process cannot go on with what it has read so far."""
        try:
            yield
        except Exception as error:
            if not _is_damage(error):
                raise
            with suppress(OSError):
                (self._path / _DAMAGE_MARK).touch()
            raise StoreDamaged(f"{self._path}: {error}") from error

    def _open_or_replace(self) -> _Opened:
        if not (self._path / _DAMAGE_MARK).exists():
            try:
                return _open_and_look(self._path)
            except Exception as error:
                if not _is_damage(error):
                    raise
                _log.error("store_damaged", path=str(self._path), error=str(error))
        _set_aside(self._path)
        return _open_and_look(self._path)


def _open_and_look(path: Path) -> _Opened:
    db = _open(path)
    try:
        return db, db.get(_OFFSET_KEY), db.get(_VISITS_OFFSET_KEY)
    except Exception:
        with suppress(Exception):
            db.close()
        raise


def _is_damage(error: Exception) -> bool:
    """Tell whether an error speaks of the files themselves, and not of what keeps us from them."""
    text = str(error).lower()
    is_status = text.startswith(("corruption", "io error", "invalid argument", "not found"))
    return is_status and not any(obstacle in text for obstacle in _OBSTACLES)


def _set_aside(path: Path) -> None:
    """Keep the newest damaged database of a partition for inspection."""
    aside = path.with_name(path.name + ".damaged")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    _log.warning("store_set_aside", path=str(aside), note="it is filled again from the changelog")


def _open(path: Path) -> rocksdict.Rdict:
    path.parent.mkdir(parents=True, exist_ok=True)
    return rocksdict.Rdict(str(path), _options())


def _options() -> rocksdict.Options:
    """Small buffers: a worker holds one database per partition, and the hot states are decoded in memory anyway."""
    table = rocksdict.BlockBasedOptions()
    table.set_bloom_filter(10, block_based=False)
    table.set_block_cache(rocksdict.Cache(16 * _MIB))
    table.set_index_type(rocksdict.BlockBasedIndexType.binary_search())
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(16 * _MIB)
    options.set_max_write_buffer_number(3)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(2)
    return options
