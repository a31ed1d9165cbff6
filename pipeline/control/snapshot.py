"""The control plane as other processes see it: one immutable snapshot in memory, renewed in the background.

A thread of its own does the reading, so that a database that hangs can never hold up an event loop, and the last
snapshot stays in force while the database is away.
"""

import asyncio
import threading
from dataclasses import replace
from typing import Final

from prometheus_client import Gauge

from pipeline.control.errors import SnapshotNotLoaded
from pipeline.control.file_watch import FileWatch, Look
from pipeline.control.store import ControlPlane
from pipeline.control.usage import KeyUsage
from pipeline.runtime.clock import now_ms
from pipeline.runtime.log import get_logger
from schemas.control import Snapshot

_AGE: Final = Gauge("attrikit_control_plane_snapshot_age_seconds", "Since the control plane was last read; NaN: never")
_STOP_SECONDS: Final = 2.0
_log = get_logger("control_plane")


class SnapshotSource:
    """Reads the control plane at `dsn` (a SQLAlchemy URL) every `refresh_seconds`."""

    def __init__(self, dsn: str, refresh_seconds: float) -> None:
        self._store = ControlPlane(dsn)
        self._file = FileWatch(dsn)
        self._read_after: Look | None = None
        """State of the file before the snapshot was read from it; None: unknown."""
        self._refresh_seconds = refresh_seconds
        self._usage = KeyUsage()
        self._snapshot: Snapshot | None = None
        self._is_away = False
        self._stopping = threading.Event()
        self._tried = threading.Event()
        self._thread: threading.Thread | None = None

    def current(self) -> Snapshot:
        """The newest snapshot. Raises `SnapshotNotLoaded` before the first one was read."""
        if self._snapshot is None:
            raise SnapshotNotLoaded("the control plane has not been read yet")
        return self._snapshot

    def note_use(self, key_id: str) -> None:
        """A request came with this key. Remembered; written by and by, in the background (see `usage`)."""
        self._usage.note(key_id, now_ms())

    @property
    def is_loaded(self) -> bool:
        """True once a snapshot is loaded; for readiness checks."""
        return self._snapshot is not None

    def age_seconds(self) -> float:
        """Since the snapshot was taken; NaN before the first."""
        snapshot = self._snapshot
        return float("nan") if snapshot is None else (now_ms() - snapshot.taken_at_ms) / 1000

    async def start(self) -> None:
        """Begin refreshing; returns after the first attempt, whether it succeeded or not (see `is_loaded`)."""
        _AGE.set_function(self.age_seconds)
        self._thread = threading.Thread(target=self._run, name="control-plane", daemon=True)
        self._thread.start()
        await asyncio.to_thread(self._tried.wait)

    async def stop(self) -> None:
        """End refreshing. The last snapshot stays readable."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _STOP_SECONDS)

    def refresh(self) -> bool:
        """Read once, now, in the calling thread. False if the database could not be read; what was known stays."""
        look = self._file.look(now_ms() * 1_000_000)
        if self._snapshot is not None and look and self._read_after and look.shows_same(self._read_after):
            self._snapshot = replace(self._snapshot, taken_at_ms=now_ms())
            return True
        self._read_after = None
        try:
            self._snapshot = self._store.snapshot(now_ms())
        except Exception as error:
            self._note_outage(error)
            return False
        self._read_after = look
        self._note_recovery()
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.refresh()
            finally:
                self._tried.set()  # whatever happens, nobody waits for ever
            self._write_use(self._usage.due(now_ms()))
            self._stopping.wait(self._refresh_seconds)
        self._write_use(self._usage.unwritten())
        self._store.close()

    def _write_use(self, used: dict[str, int]) -> None:
        if not used or self._is_away:
            return
        try:
            self._store.record_use(used)
        except Exception as error:
            _log.warning("key_use_not_written", error=type(error).__name__, keys=len(used))
            return
        self._usage.written(used, now_ms())

    def _note_outage(self, error: Exception) -> None:
        if not self._is_away:
            # The class only: a driver's message may quote the connection's credentials.
            _log.warning("control_plane_away", error=type(error).__name__, has_snapshot=self.is_loaded)
        self._is_away = True

    def _note_recovery(self) -> None:
        if self._is_away:
            _log.info("control_plane_back")
        self._is_away = False
