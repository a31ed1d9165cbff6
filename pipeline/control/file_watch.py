"""Tells that a SQLite file has not changed, without opening it.

Reading the control plane costs milliseconds, every process does it every few seconds, and it hardly ever changes. The
file is looked at from outside only: to open and close it would drop the locks that SQLite holds on it in this process.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

_GRAIN_NS: Final = 2_000_000_000
"""More than the steps in which file systems tell the time: two changes in one step cannot be told apart."""
READ_AGAIN_NS: Final = 30_000_000_000
"""Longest time between two readings of the file, whatever it looks like."""


@dataclass(frozen=True)
class Look:
    """Inodes, sizes and change times of a file and its write-ahead log."""

    at_ns: int
    """Wall clock, when it was looked at."""
    marks: tuple[tuple[int, int, int] | None, ...]
    """Inode, size and time of the last change in ns of each; None: there is no such file."""

    def shows_same(self, earlier: "Look") -> bool:
        """Tell whether the file still holds what was read right after the earlier look. Pure."""
        latest_ns = max((mark[2] for mark in earlier.marks if mark), default=earlier.at_ns)
        is_recent = 0 <= self.at_ns - earlier.at_ns < READ_AGAIN_NS
        return self.marks == earlier.marks and is_recent and latest_ns < earlier.at_ns - _GRAIN_NS


class FileWatch:
    """Look at the file of the database at `dsn` (a SQLAlchemy URL)."""

    def __init__(self, dsn: str) -> None:
        url = make_url(dsn)
        path = url.database if url.get_backend_name() == "sqlite" and url.database != ":memory:" else None
        self._paths = [Path(path), Path(path + "-wal")] if path else []

    def look(self, now_ns: int) -> Look | None:
        """None if it cannot be told from outside: it is no SQLite file, or there is none."""
        marks = tuple(map(_mark_of, self._paths))
        return Look(now_ns, marks) if marks and marks[0] else None


def _mark_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
