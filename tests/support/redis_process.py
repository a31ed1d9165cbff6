"""A Redis server as a process that can be stopped, frozen and started again on the same port. It keeps nothing."""

import os
import shutil
import signal
import socket
from pathlib import Path

from certificates import Authority

from deploy.local.ports import free_port
from deploy.local.process import ChildProcess

_READY_SECONDS = 20.0


def redis_is_missing() -> str:
    """Return why no Redis can run here; empty: it can."""
    return "" if shutil.which("redis-server") else "no redis-server on the PATH (tests/install_tools.sh)"


class RedisServer:
    """`url`: plain; `tls_url`: over TLS, where the server was given an authority, which signs its certificate."""

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        folder.mkdir(parents=True, exist_ok=True)
        argv = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder)]
        argv += ["--save", "", "--appendonly", "no"]
        if authority is not None:
            tls_port = free_port(avoid=[self.port])
            self.tls_url = f"rediss://127.0.0.1:{tls_port}/0"
            certificate, key = authority.issue("redis")
            argv += ["--tls-port", str(tls_port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(authority.ca)]
            argv += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
        self._process = ChildProcess("redis", argv, folder / "redis.log")

    def start(self) -> None:
        self._process.start()
        self._process.wait_until(self._answers, _READY_SECONDS)

    def kill(self) -> None:
        if self._process.is_running:
            self._process.kill()

    def freeze(self) -> None:
        """It keeps its connections and takes new ones, and answers nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
