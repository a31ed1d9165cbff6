"""A PostgreSQL server as a process, with an empty database that anybody on this machine may use."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest
from certificates import Authority

from deploy.local.ports import free_port
from deploy.local.process import ChildProcess
from pipeline.control.engine import build_engine

_READY_SECONDS: Final = 30.0
_NOBODY: Final = {"user": "nobody", "group": "nogroup"}


class PostgresServer:
    """`dsn` is its address. It does TLS for clients that ask for it, with a certificate of `authority`. Skips the test
    where none can run: there is none, or root cannot become `nobody`, as whom it runs instead of as root.
    """

    def __init__(self, folder: Path, authority: Authority) -> None:
        if not shutil.which("postgres") or not shutil.which("initdb"):
            pytest.skip("no PostgreSQL server on the PATH")
        self._as_nobody = _NOBODY if os.geteuid() == 0 else {}
        self._own(folder)
        data, self.port = folder / "data", free_port()
        self._make(data)
        options = ["-k", "", "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", *self._tls(authority, data)]
        argv = ["postgres", "-D", str(data), "-p", str(self.port), *options]
        if self._as_nobody:
            argv = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *argv]
        self._process = ChildProcess("postgres", argv, folder.parent / "postgres.log")
        self.dsn = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        self._process.start()
        self._process.wait_until(lambda: _connects(self.dsn), _READY_SECONDS)

    def stop(self) -> None:
        self._process.stop(10)

    def _own(self, folder: Path) -> None:
        if not self._as_nobody:
            return
        _open_way_to(folder)
        try:
            shutil.chown(folder, **_NOBODY)
        except (OSError, LookupError) as error:
            pytest.skip(f"PostgreSQL does not run as root, and root cannot become nobody here: {error}")

    def _make(self, data: Path) -> None:
        command = ["initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(command, **self._as_nobody, cwd=data.parent, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr

    def _tls(self, authority: Authority, data: Path) -> list[str]:
        for source, name in zip(authority.issue("server"), ("server.crt", "server.key"), strict=True):
            shutil.copy(source, data / name)
        if self._as_nobody:
            shutil.chown(data / "server.key", **_NOBODY)
        return ["-c", "ssl=on"]


def _open_way_to(folder: Path) -> None:
    """Let another user pass through the folders pytest has made, and no further up."""
    for parent in [folder, *folder.parents]:
        if parent == Path(tempfile.gettempdir()):
            return
        parent.chmod(parent.stat().st_mode | 0o011)


def _connects(dsn: str) -> bool:
    engine = build_engine(dsn, writes=False)
    try:
        with engine.connect():
            return True
    except Exception:
        return False
