"""Where the states of a partition lie between groups: in memory, or in RocksDB on the worker's disk.

Either is a copy of the changelog up to `offset`; it may be lost at any time and is then read again.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import rocksdict

_INTERNAL: Final = b"\x00"
"""Keys that begin with it are ours, not a person's."""
_OFFSET_KEY: Final = b"\x00changelog-offset"
_MIB: Final = 1024 * 1024


class PartitionStore(Protocol):
    """bytes → bytes. One write is atomic and carries the changelog offset it brings the store to."""

    @property
    def offset(self) -> int | None:
        """The last changelog offset contained; None when nothing is."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]: ...

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes], offset: int) -> None: ...

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        """Every person's state, in no particular order, internal keys left out."""
        ...

    def wipe(self) -> None:
        """Forget everything."""
        ...

    def close(self) -> None: ...


class MemoryStore:
    def __init__(self) -> None:
        self._data: dict[bytes, bytes] = {}
        self._offset: int | None = None

    @property
    def offset(self) -> int | None:
        return self._offset

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        get = self._data.get
        return [get(key) for key in keys]

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes], offset: int) -> None:
        self._data.update(puts)
        for key in deletes:
            self._data.pop(key, None)
        self._offset = offset

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        return (item for item in self._data.items() if not item[0].startswith(_INTERNAL))

    def wipe(self) -> None:
        self._data.clear()
        self._offset = None

    def close(self) -> None:
        self.wipe()


class RocksStore:
    """One database per partition under `path`. A damaged one is thrown away: the changelog has it all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = self._open_or_replace()
        raw = self._db.get(_OFFSET_KEY)
        self._offset = None if raw is None else int(raw)

    @property
    def offset(self) -> int | None:
        return self._offset

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        found: Any = self._db.get(list(keys)) if keys else []
        return list(found)

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes], offset: int) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in puts:
            put(key, value)
        for key in deletes:
            batch.delete(key)
        put(_OFFSET_KEY, str(offset).encode())
        self._db.write(batch)
        self._offset = offset

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        items: Any = self._db.items()
        return (item for item in items if not item[0].startswith(_INTERNAL))

    def wipe(self) -> None:
        self._db.close()
        shutil.rmtree(self._path)
        self._db = _open(self._path)
        self._offset = None

    def close(self) -> None:
        self._db.close()

    def _open_or_replace(self) -> rocksdict.Rdict:
        try:
            return _open(self._path)
        except Exception as error:
            if "corruption" not in str(error).lower():
                raise
            shutil.rmtree(self._path)
            return _open(self._path)


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
