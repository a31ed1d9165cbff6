"""The data folder of the embedded ClickHouse: one process at a time, and a place for its inserts on their way in."""

import os
import shutil
import threading
from pathlib import Path
from typing import ClassVar

from pipeline.runtime.file_lock import try_lock


class DirectoryInUse(Exception):
    """Another process has it."""


class DirectoryLock:
    """Lock of a chDB directory: one process at a time; within it any number of `ClickHouse` objects, which share chDB's
    engine.

    chDB's own lock fails without saying why, so this comes first. The kernel releases it with the process.
    """

    _held: ClassVar[dict[Path, "DirectoryLock"]] = {}
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = _lock_file(directory)
        self._users = 0
        self.spool = directory.parent / "clickhouse-spool"
        shutil.rmtree(self.spool, ignore_errors=True)
        self.spool.mkdir(mode=0o700)

    @classmethod
    def acquire(cls, directory: Path) -> "DirectoryLock":
        with cls._guard:
            lock = cls._held.get(directory)
            if lock is None:
                lock = cls._held[directory] = cls(directory)
            lock._users += 1
            return lock

    def release(self) -> None:
        with self._guard:
            self._users -= 1
            if self._users == 0:
                del self._held[self._directory]
                os.close(self._fd)


def _lock_file(directory: Path) -> int:
    directory.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory.parent / "clickhouse.lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not try_lock(fd):
        owner = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise DirectoryInUse(
            f"the embedded ClickHouse in {directory} is in use by process {owner}; "
            "one process at a time may open it: stop that one, or choose another data folder"
        )
    os.ftruncate(fd, 0)
    os.write(fd, str(os.getpid()).encode())
    return fd
