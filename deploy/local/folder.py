"""The data folder: one run at a time, always with the same broker."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.local.process import LaunchError
from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.file_lock import try_lock
from pipeline.runtime.private_files import make_private_folder

_LEFTOVER_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1

Say = Callable[[str], None]


class DataFolder:
    """The data folder; its lock is held from `open` to `release`.

    Children inherit the lock's descriptor (`lock_fd`), so the folder stays locked until the last of them is gone, even
    if their launcher was killed.
    """

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self.lock_fd = lock_fd

    @classmethod
    def open(cls, path: Path, say: Say) -> "DataFolder":
        """Open and lock the folder. Raises `LaunchError` if another run has it, or it cannot be written."""
        try:
            make_private_folder(path)
            lock_fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LaunchError(f"the data folder {path} cannot be used: {error.strerror}") from error
        try:
            _lock(lock_fd, path, say)
        except BaseException:
            os.close(lock_fd)
            raise
        os.ftruncate(lock_fd, 0)
        os.pwrite(lock_fd, json.dumps({"pid": os.getpid()}).encode(), 0)
        return cls(path.resolve(), lock_fd)

    def release(self) -> None:
        os.close(self.lock_fd)

    def claim_for(self, broker: str) -> None:
        """Tie the folder to one broker: offsets and stream state mean nothing on another, so two are never mixed."""
        marker = self.path / "broker" / "kind"
        if marker.exists():
            found = marker.read_text().strip()
            if found != broker:
                raise LaunchError(
                    f"{self.path} was filled with BROKER={found}; use another folder (DATA=) for {broker}"
                )
            return
        marker.parent.mkdir(exist_ok=True)
        marker.write_text(broker + "\n")

    def note_broker_running(self) -> None:
        self._broker_running.touch()

    def note_broker_stopped(self) -> None:
        self._broker_running.unlink(missing_ok=True)

    def was_broker_cut_off(self) -> bool:
        """Tell whether the broker's last run here did not end in order."""
        return self._broker_running.exists()

    @property
    def _broker_running(self) -> Path:
        return self.path / "broker" / "running"


def _lock(lock_fd: int, path: Path, say: Say) -> None:
    if try_lock(lock_fd):
        return
    owner = _owner(lock_fd)
    if owner is None or _is_alive(owner):
        who = "" if owner is None else f" (process {owner})"
        raise LaunchError(f"another run{who} is using the data folder {path.resolve()}")
    say(f"the run before (process {owner}) was killed; waiting for what it left behind to end")
    deadline = monotonic_seconds() + _LEFTOVER_SECONDS
    while not try_lock(lock_fd):
        if monotonic_seconds() > deadline:
            raise LaunchError(f"processes of a killed run still use the data folder {path.resolve()}; end them first")
        time.sleep(_POLL_SECONDS)


def _owner(lock_fd: int) -> int | None:
    try:
        return int(json.loads(os.pread(lock_fd, 1024, 0))["pid"])
    except (ValueError, KeyError, TypeError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
