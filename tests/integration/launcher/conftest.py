"""`attrikit up` as a person meets it: a process with output, a data folder, signals, an exit code."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SECONDS = 90


class Run:
    """One `attrikit up`, in a process group of its own as a shell would start it."""

    def __init__(self, port: int, data_dir: Path, output: Path, *more: str, **settings: object) -> None:
        self.base_url = f"http://127.0.0.1:{port}"
        self.data_dir = data_dir
        self._output = output
        argv = [
            sys.executable,
            "-P",
            "-m",
            "deploy.cli",
            "up",
            "--port",
            str(port),
            "--data",
            str(data_dir),
            *more,
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ATTRIKIT_")}
        environment |= {f"ATTRIKIT_{name.upper()}": str(value) for name, value in settings.items()}
        environment["PYTHONUNBUFFERED"] = "1"
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                argv, stdout=file, stderr=subprocess.STDOUT, env=environment, process_group=0
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait_for_line(self, pattern: str) -> None:
        _wait(lambda: re.search(pattern, self.output, re.M) or self.process.poll() is not None, self)
        assert re.search(pattern, self.output, re.M), self.output

    def wait_ready(self) -> "Run":
        self.wait_for_line("^ready$")
        return self

    def press_ctrl_c(self) -> int:
        """SIGINT to the whole group, as a terminal sends it. The exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.exit_code()

    def exit_code(self) -> int:
        return self.process.wait(SECONDS)

    def children(self) -> dict[str, int]:
        """Name → pid of what runs on this data folder, the launcher apart."""
        return _processes_on(self.data_dir)


def _processes_on(data_dir: Path) -> dict[str, int]:
    """Children of any run on this folder, by their last log: name → pid."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            log = os.readlink(folder / "fd" / "1")
        except OSError:
            continue
        if log.startswith(f"{data_dir}/logs/"):
            found[Path(log).stem] = int(folder.name)
    return found


def _wait(condition: Callable[[], object], run: Run | None = None) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, run.output if run else "timed out"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Run]]:
    """`start(port, data_dir, *options, **settings)`; whatever still runs at the end is killed."""
    if sys.platform != "linux":
        pytest.skip("finds processes through /proc")
    folder = tmp_path_factory.mktemp("output")
    runs: list[Run] = []

    def start_one(port: int, data_dir: Path, *more: str, **settings: object) -> Run:
        runs.append(Run(port, data_dir, folder / f"{len(runs)}.log", *more, **settings))
        return runs[-1]

    yield start_one
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
        run.process.wait(SECONDS)
    for run in runs:
        _wait(lambda run=run: not _processes_on(run.data_dir))


@pytest.fixture(scope="session")
def processes_on() -> Callable[[Path], dict[str, int]]:
    return _processes_on


@pytest.fixture(scope="session")
def wait() -> Callable[..., None]:
    """`wait(condition, run=None)`: fails with the run's output if it takes too long."""
    return _wait
