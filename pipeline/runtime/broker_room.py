"""Disk space the embedded broker needs for its next save.

That broker keeps its records in memory and writes all of them to a new file (`kafka.tmp`) on every save, which then
takes the place of the one before (`kafka.json`). If the disk fills while it saves, it goes on acknowledging records it
can no longer save. So whoever writes to it has to stop before that, and can tell from the sizes of its files.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.runtime.clock import monotonic_seconds

GROWTH: Final = 2
"""Assumed growth: how many times the present file the next one may be large at least: others than the gateway write as
well.
"""
EXPANSION: Final = 4
"""Bytes of a saved file per byte of a record at most: it lists each byte as a decimal number with a comma."""
MEASURE_SECONDS: Final = 0.1
_UNFINISHED_SUFFIX: Final = ".tmp"


@dataclass(frozen=True)
class DiskUse:
    """Bytes of a broker's data folder and of the disk it lies on."""

    free_bytes: int
    saved_bytes: int
    unfinished_bytes: int = 0
    """Size of a save under way, or of one that failed: the next save writes over it."""
    saved_at_ns: int = 0
    """Time when a save ended last, by the clock of the file system."""


def shortage_bytes(use: DiskUse, unsaved_bytes: int, margin_bytes: int) -> int:
    """Return how much disk space is missing for the next save with `margin_bytes` to spare; 0: there is enough.
    Pure.

    `unsaved_bytes`: of the records that were sent since the save on disk began.
    """
    next_bytes = max(GROWTH * use.saved_bytes, use.saved_bytes + EXPANSION * unsaved_bytes)
    return max(0, next_bytes + margin_bytes - use.free_bytes - use.unfinished_bytes)


def measure(folder: Path) -> DiskUse:
    """Reads sizes only. Raises `OSError` where the folder cannot be read."""
    saved = unfinished = saved_at_ns = 0
    for path in folder.iterdir():
        try:
            found = path.stat()
        except FileNotFoundError:  # a save has just ended
            continue
        if path.suffix == _UNFINISHED_SUFFIX:
            unfinished += found.st_size
        else:
            saved += found.st_size
            saved_at_ns = max(saved_at_ns, found.st_mtime_ns)
    # After the files: a save that goes on meanwhile then makes the room look smaller, never larger.
    disk = os.statvfs(folder)
    return DiskUse(disk.f_bavail * disk.f_frsize, saved, unfinished, saved_at_ns)


class BrokerRoom:
    """The shortage of disk space in one broker's data folder, measured again when the last answer is too old."""

    def __init__(self, folder: str, margin_bytes: int, clock: Callable[[], float] = monotonic_seconds) -> None:
        """`folder`: empty where the broker is not embedded and looks after its disk itself."""
        self._folder = Path(folder) if folder else None
        self._margin_bytes = margin_bytes
        self._clock = clock
        self._measured_at_seconds = float("-inf")
        self._use: DiskUse | None = None
        self._sent_bytes = 0
        self._sent_before_bytes = 0

    def note_sent(self, size_bytes: int) -> None:
        """A record of this size goes to the broker."""
        self._sent_bytes += size_bytes

    def shortage_bytes(self) -> int:
        """0: there is enough. A folder that cannot be measured counts as full: the broker could not save there."""
        if self._folder is None:
            return 0
        now_seconds = self._clock()
        if now_seconds - self._measured_at_seconds > MEASURE_SECONDS:
            self._measured_at_seconds = now_seconds
            self._measure(self._folder)
        if self._use is None:
            return max(1, self._margin_bytes)
        return shortage_bytes(self._use, self._sent_before_bytes + self._sent_bytes, self._margin_bytes)

    def _measure(self, folder: Path) -> None:
        before = self._use
        try:
            self._use = measure(folder)
        except OSError:
            self._use = None
            return
        if before is None or self._use.saved_at_ns != before.saved_at_ns:
            # What was sent while that save went on is in the next one: it is forgotten one save later.
            self._sent_before_bytes, self._sent_bytes = self._sent_bytes, 0
