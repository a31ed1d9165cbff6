"""What the processes of a running product hold: memory, threads, open files, files on disk; and how that changes.

Linux only: it is read from `/proc`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

_NAMES = {"gateway": "gateway", "worker": "worker", "store": "store", "noida-db": "broker", "webhooks": "webhooks"}
"""A word of the command line of a process of the product → its name here."""


@dataclass(frozen=True)
class Held:
    """Figures of one moment. `files`: on disk, of the whole product, so only its launcher has any."""

    memory_mb: float
    threads: int
    handles: int
    cpu_seconds: float
    files: int = 0


def processes_of(pid: int) -> dict[str, int]:
    """The processes that `attrikit up`, which runs as `pid`, has started: name → pid."""
    found = {}
    for child in psutil.Process(pid).children(recursive=True):
        command = child.cmdline()
        words = " ".join([command[0], *command[4:5]])
        name = next((name for word, name in _NAMES.items() if word in words), None)
        if name is not None:
            found[name] = child.pid
    return found


def held_by(pid: int, folder: Path | None = None) -> Held:
    """What a process holds now; `folder`: count the files in it too."""
    process = psutil.Process(pid)
    with process.oneshot():
        times = process.cpu_times()
        memory_mb = process.memory_info().rss / 2**20
        threads, handles = process.num_threads(), process.num_fds()
    files = sum(len(names) for _, _, names in os.walk(folder)) if folder else 0
    return Held(memory_mb, threads, handles, times.user + times.system, files)


def growth(times: list[float], values: list[float]) -> float:
    """Return by how much the values grow from the first time to the last, along the line with the median slope of all
    pairs of thirds (Theil-Sen): single peaks, such as merges, do not move it.
    """
    third = max(1, len(values) // 3)
    slopes = [
        (late - early) / (t1 - t0)
        for t0, early in zip(times[:third], values[:third], strict=True)
        for t1, late in zip(times[-third:], values[-third:], strict=True)
        if t1 > t0
    ]
    return median(slopes) * (times[-1] - times[0]) if slopes else 0.0


def table(series: Mapping[str, list[Held]]) -> str:
    """Each process's figures at five moments, for people."""
    lines = []
    for name, held in series.items():
        shown = [held[round(at * (len(held) - 1) / 4)] for at in range(5)]
        lines.append(f"{name:9} MB {[round(h.memory_mb) for h in shown]} threads {[h.threads for h in shown]}")
        lines[-1] += f" handles {[h.handles for h in shown]} files {[h.files for h in shown]}"
    return "\n".join(lines)
