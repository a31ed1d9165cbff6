"""One child process: started apart from the terminal, never outliving its parent, stopped within a deadline."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pipeline.runtime.clock import monotonic_seconds

_POLL_SECONDS: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1
_KEPT_LOG_BYTES: Final = 16 * 1024 * 1024
_TAIL_BYTES: Final = 8 * 1024
# Looked up before any fork: loading a library between fork and exec could deadlock.
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


class LaunchError(Exception):
    """Error: something could not be started. The message is one line for the person at the terminal."""


class ChildEnded(LaunchError):
    """Error: a child that should run has ended."""

    def __init__(self, child: "ChildProcess") -> None:
        super().__init__(f"{child.name} ended with {describe_exit(child.exit_code)}")
        self.child = child


class ChildProcess:
    """A child process: `argv`, with its output appended to `log_path`.

    It has a session of its own, so the terminal's Ctrl-C reaches the launcher only. `orphan_signal` is what it gets
    when the launcher is killed (Linux).
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log_path: Path,
        *,
        environment: Mapping[str, str] | None = None,
        orphan_signal: signal.Signals = signal.SIGKILL,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._argv = list(argv)
        self._environment = None if environment is None else dict(environment)
        self._orphan_signal = orphan_signal
        self._pass_fds = tuple(pass_fds)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return the exit code; None while it runs; minus the signal's number if a signal ended it."""
        if self._process is None or self._process.returncode is not None:
            return None if self._process is None else self._process.returncode
        if self._process.poll() is not None:
            self._sweep_group()
        return self._process.returncode

    @property
    def is_running(self) -> bool:
        return self._process is not None and self.exit_code is None

    def start(self) -> None:
        """Start the process. Call from the main thread: the orphan signal is tied to the thread that started the
        child.
        """
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        _keep_one_old_log(self.log_path)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - argv is made here, of our own programs
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                pass_fds=self._pass_fds,
                start_new_session=True,
                preexec_fn=_die_with_parent(self._orphan_signal),
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; does nothing if the process has ended."""
        if self.is_running:
            os.kill(self.pid, number)

    def stop(self, deadline_seconds: float) -> int | None:
        """Stop with SIGTERM, wait, then kill what is left of its group. Return its exit code; None: never started."""
        self.signal(signal.SIGTERM)
        deadline = monotonic_seconds() + deadline_seconds
        while self.is_running and monotonic_seconds() < deadline:
            time.sleep(_POLL_SECONDS)
        return self.kill()

    def kill(self) -> int | None:
        """Kill it and its group at once."""
        if self._process is not None and self.is_running:
            self._sweep_group()
            self._process.wait()
        return self.exit_code

    def _sweep_group(self) -> None:
        """Kill the group: while its leader lives, or in the moment its end is noticed, but never later.

        A process id is free for others once its process was waited for and its group is empty. A signal to the number
        we remember could then end a stranger.
        """
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def log_tail(self, lines: int = 20) -> list[str]:
        """Return the last lines it wrote."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return log.read().decode(errors="replace").splitlines()[-lines:]
        except FileNotFoundError:
            return []

    def wait_until(self, condition: Callable[[], bool], timeout_seconds: float) -> None:
        """Return when `condition` holds; raise `LaunchError` if the process ends first or the time is up."""
        deadline = monotonic_seconds() + timeout_seconds
        while not condition():
            if not self.is_running:
                raise ChildEnded(self)
            if monotonic_seconds() > deadline:
                raise LaunchError(f"{self.name} was not ready after {timeout_seconds:.0f} s")
            time.sleep(_POLL_SECONDS)


def describe_exit(code: int | None) -> str:
    """Describe an exit: `exit code 3`, or `signal SIGKILL`."""
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    if _LIBC is None:
        return None
    parent, libc = os.getpid(), _LIBC

    def set_death_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number.value)
        if os.getppid() != parent:
            os._exit(1)

    return set_death_signal


def _keep_one_old_log(path: Path) -> None:
    if path.exists() and path.stat().st_size > _KEPT_LOG_BYTES:
        path.replace(path.with_suffix(".old.log"))
