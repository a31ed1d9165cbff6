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
from pipeline.stream.partition.wakeups import UNKNOWN

_INTERNAL: Final = b"\x00"
"""Keys that begin with it are ours, not a person's."""
_OFFSET_KEY: Final = b"\x00changelog-offset"
_WAKEUPS_OFFSET_KEY: Final = b"\x00visits-offset"
"""The offset up to which everybody's wakeup is written too; a version that knows of none leaves it behind."""
_WAKEUP_PREFIX: Final = b"\x00v\x1f"
_WAKEUP_END: Final = b"\x00v\x20"
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
"""A database with its changelog offset, and the offset up to which it has the wakeups."""
_log = get_logger("stream.stores")

_NO_WAKEUPS: Final[Mapping[bytes, bytes]] = {}


class PartitionStore(Protocol):
    """bytes → bytes. One write is atomic and carries the changelog offset it brings the store to.

    Beside each person's state stands the next wakeup (see `wakeups`), which is no part of the changelog: a store that
    was filled from there, or by a version that knew of none, has none until all have been noted.
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
        wakeups: Mapping[bytes, bytes] = _NO_WAKEUPS,
    ) -> None:
        """Write states. Where the store has wakeups, that of a person put and not found in `wakeups` is `UNKNOWN`."""
        ...

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        """Every person's state, in no particular order, internal keys left out."""
        ...

    @property
    def has_wakeups(self) -> bool:
        """Everybody's."""
        ...

    def wakeups(self) -> Iterator[tuple[bytes, bytes]]:
        """Every person's, as of now, even if some are noted meanwhile; those of an app in a row."""
        ...

    def note_wakeups(self, wakeups: Iterable[tuple[bytes, bytes]]) -> None:
        """Note the wakeups of persons who are stored."""
        ...

    def forget_wakeups(self) -> None:
        """Forget the notes, before all are noted anew."""
        ...

    def complete_wakeups(self) -> None:
        """Note that all are noted."""
        ...

    def wipe(self) -> None:
        """Forget everything."""
        ...

    def close(self) -> None: ...


class MemoryStore:
    def __init__(self) -> None:
        self._data: dict[bytes, bytes] = {}
        self._wakeups: dict[bytes, bytes] = {}
        self._offset: int | None = None
        self.has_wakeups = False

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
        wakeups: Mapping[bytes, bytes] = _NO_WAKEUPS,
    ) -> None:
        for key, value in puts:
            self._data[key] = value
            if self.has_wakeups and not key.startswith(_INTERNAL):
                self._wakeups[key] = wakeups.get(key, UNKNOWN)
        for key in deletes:
            self._data.pop(key, None)
            self._wakeups.pop(key, None)
        self._offset = offset

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        return (item for item in self._data.items() if not item[0].startswith(_INTERNAL))

    def wakeups(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(self._wakeups.items()))

    def note_wakeups(self, wakeups: Iterable[tuple[bytes, bytes]]) -> None:
        self._wakeups.update(wakeups)

    def forget_wakeups(self) -> None:
        self._wakeups.clear()
        self.has_wakeups = False

    def complete_wakeups(self) -> None:
        self.has_wakeups = True

    def wipe(self) -> None:
        self._data.clear()
        self.forget_wakeups()
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
        self._db, raw, wakeups_offset = self._open_or_replace()
        self._offset = None if raw is None else int(raw)
        self._has_wakeups = raw is not None and raw == wakeups_offset

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
        wakeups: Mapping[bytes, bytes] = _NO_WAKEUPS,
    ) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in puts:
            put(key, value)
            if self._has_wakeups and not key.startswith(_INTERNAL):
                put(_WAKEUP_PREFIX + key, wakeups.get(key, UNKNOWN))
        for key in deletes:
            batch.delete(key)
            if not key.startswith(_INTERNAL):
                batch.delete(_WAKEUP_PREFIX + key)
        raw_offset = str(offset).encode()
        put(_OFFSET_KEY, raw_offset)
        if self._has_wakeups:
            put(_WAKEUPS_OFFSET_KEY, raw_offset)
        with self._noticing_damage():
            self._db.write(batch)
        self._offset = offset

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        return self._iterate(rocksdict.ReadOptions(), _FIRST_PERSON)

    @property
    def has_wakeups(self) -> bool:
        return self._has_wakeups

    def wakeups(self) -> Iterator[tuple[bytes, bytes]]:
        only = rocksdict.ReadOptions()
        only.set_iterate_upper_bound(_WAKEUP_END)
        start = len(_WAKEUP_PREFIX)
        return ((key[start:], wakeup) for key, wakeup in self._iterate(only, _WAKEUP_PREFIX))

    def note_wakeups(self, wakeups: Iterable[tuple[bytes, bytes]]) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, wakeup in wakeups:
            batch.put(_WAKEUP_PREFIX + key, wakeup)
        with self._noticing_damage():
            self._db.write(batch)

    def forget_wakeups(self) -> None:
        self._has_wakeups = False
        self._db.delete(_WAKEUPS_OFFSET_KEY)
        self._db.delete_range(_WAKEUP_PREFIX, _WAKEUP_END)

    def complete_wakeups(self) -> None:
        if self._offset is not None:
            self._db.put(_WAKEUPS_OFFSET_KEY, str(self._offset).encode())
            self._has_wakeups = True

    def wipe(self) -> None:
        self.close()
        shutil.rmtree(self._path)
        self._db = _open(self._path)
        self._offset, self._has_wakeups = None, False

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
        return db, db.get(_OFFSET_KEY), db.get(_WAKEUPS_OFFSET_KEY)
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
