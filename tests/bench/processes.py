"""Processes under measurement: the launcher's own child processes, on free ports, in a folder of their own."""

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from deploy.local.apache_kafka import KafkaBroker
from deploy.local.broker import Broker, NoidaBroker
from deploy.local.process import ChildProcess, LaunchError

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from process_usage import processes_of as processes_of

READY_SECONDS = 60.0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def peak_memory_mb(pid: int) -> float:
    """Peak resident memory of a process in MB (`VmHWM`; Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def forget_peak_memory(pid: int) -> None:
    """Let the peak begin anew with what the process holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used, user and system, in seconds."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def metric(url: str, name: str) -> float:
    """Return a metric of the process at this address, added up over its labels; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(url + "/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
    except OSError:
        return 0
    return sum(float(line.split()[-1]) for line in lines if line.startswith((name + " ", name + "{")))


class Patience:
    """For loops that wait: `look` raises `TimeoutError` when it has been told the same for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._state = ""
        self._since = time.monotonic()

    def look(self, state: str) -> None:
        now = time.monotonic()
        if state != self._state:
            self._state, self._since = state, now
        if now - self._since > self._seconds:
            raise TimeoutError(f"for {self._seconds:.0f} s: {state}")


@contextmanager
def running(name: str, arguments: list[str], environment: dict[str, str], folder: Path) -> Iterator[ChildProcess]:
    """`python <arguments>` with `environment` added to ours; stopped with SIGTERM, killed if that takes 15 s."""
    child = ChildProcess(
        name, [sys.executable, *arguments], folder / f"{name}.log", environment=os.environ | environment
    )
    child.start()
    try:
        yield child
    finally:
        child.stop(15)


@contextmanager
def running_broker(folder: Path, kind: str = "noida") -> Iterator[Broker]:
    """`kind`: `noida`, `kafka`, or `best`: Apache Kafka where Java and Maven are, else the small one."""
    broker = _broker(folder, kind)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _broker(folder: Path, kind: str) -> Broker:
    if kind in {"kafka", "best"}:
        try:
            return KafkaBroker(folder / "broker", folder / "broker.log")
        except LaunchError:
            if kind == "kafka":
                raise
    return NoidaBroker(folder / "broker", folder / "broker.log")
