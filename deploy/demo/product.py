"""The whole product, run by `attrikit up`: in a folder of its own, on free ports, with settings of its own."""

import os
import re
import signal
import sys
from pathlib import Path
from typing import Final

from deploy.local.ports import free_port
from deploy.local.process import ChildProcess, LaunchError
from pipeline.runtime.settings import Settings

_READY_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 120.0
_BROKER_LINE: Final = re.compile(r"^broker\b.*?(\d+\.\d+\.\d+\.\d+:\d+)", re.MULTILINE)
_CONSOLE_LINE: Final = re.compile(r"^console\s+(\S+)", re.MULTILINE)
_ADMIN_LINE: Final = re.compile(r"\S+/setup/\S+")


class Product:
    """One run of `attrikit up`. `start` raises `LaunchError`."""

    def __init__(self, folder: Path, broker: str = "noida", settings: dict[str, str] | None = None) -> None:
        """Prepare a run. `settings`: further `ATTRIKIT_…` variables; those of this process's environment do not reach
        it.
        """
        self.folder = folder
        self.data_dir = folder / "data"
        self._log_path = folder / "attrikit-up.log"
        self._port = free_port()
        argv = [sys.executable, "-P", "-m", "deploy.cli", "up", "--broker", broker]
        argv += ["--port", str(self._port), "--data", str(self.data_dir)]
        own = {name: value for name, value in os.environ.items() if not name.startswith("ATTRIKIT_")}
        environment = own | {"PYTHONUNBUFFERED": "1"} | (settings or {})
        self._process = ChildProcess(
            "attrikit up", argv, self._log_path, environment=environment, orphan_signal=signal.SIGTERM
        )

    def start(self) -> None:
        """Start the product; also again after `stop`, with the stored data."""
        self._log_path.unlink(missing_ok=True)
        self._process.start()
        try:
            self._process.wait_until(self._is_ready, _READY_SECONDS)
        except LaunchError as error:
            raise LaunchError("\n  | ".join([str(error), *self._process.log_tail()])) from error

    def stop(self) -> None:
        """Stop in order; everything accepted is on disk afterwards. May be called at any time."""
        self._process.stop(_STOP_SECONDS)

    def check_running(self) -> None:
        """Raise `LaunchError`, with its last output, if it has ended."""
        if not self._process.is_running:
            raise LaunchError("\n  | ".join(["attrikit up has ended", *self._process.log_tail()]))

    def last_words(self, lines: int = 5) -> list[str]:
        """Return the end of each process's log, for when something went wrong."""
        logs = [self._log_path, *sorted((self.data_dir / "logs").glob("*.log"))]
        tails = {log.name: log.read_text("utf-8", "replace").splitlines()[-lines:] for log in logs if log.exists()}
        return [f"{name}: {line[:2_000]}" for name, tail in tails.items() for line in tail]

    @property
    def pid(self) -> int:
        """Return the process of the launcher."""
        return self._process.pid

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def console_url(self) -> str:
        """Return where the console listens."""
        found = _CONSOLE_LINE.search(self._log_path.read_text("utf-8", "replace"))
        return found[1] if found else ""

    @property
    def admin_link(self) -> str:
        """Return the link that sets the password of `admin`; empty once it has one."""
        found = _ADMIN_LINE.search(self._log_path.read_text("utf-8", "replace"))
        return found[0] if found else ""

    @property
    def key(self) -> str:
        """Return the key of the demo app; it reads and writes."""
        return (self.data_dir / "demo-key").read_text().strip()

    @property
    def settings(self) -> Settings:
        """Return settings to read its broker while it runs, and its tables once it is stopped."""
        found = _BROKER_LINE.search(self._log_path.read_text("utf-8", "replace"))
        if found is None:
            raise LaunchError(f"the line about the broker is missing in {self._log_path}")
        plain = Settings.model_construct()
        return plain.model_copy(update={"data_dir": self.data_dir, "kafka_bootstrap": found[1]})

    def _is_ready(self) -> bool:
        return "ready" in self._log_path.read_text("utf-8", "replace").splitlines()
