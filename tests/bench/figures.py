"""Figures of a benchmark, as JSON lines for machines and a table for people."""

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`; `baseline` in the same unit from the same run, where there is one to compare with. `most`: a
    greater value is a failure."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    most: float | None = None

    @property
    def is_too_much(self) -> bool:
        return self.most is not None and self.value > self.most

    @property
    def ratio(self) -> float | None:
        return None if not self.baseline else self.value / self.baseline

    def json_line(self) -> str:
        record = {"name": self.name, "value": round(self.value, 3), "unit": self.unit}
        if self.baseline:
            record |= {"baseline": round(self.baseline, 3), "ratio": round(self.value / self.baseline, 2)}
        if self.is_too_much and self.most is not None:
            record["FAIL"] = f"more than {self.most:,.1f}"
        return json.dumps(record)


def machine() -> str:
    """One line about what the figures were measured on."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = f"Python {platform.python_version()}"
    return f"{_cpu_model()}, {os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()}, {python}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def print_table(figures: list[Figure]) -> None:
    table = Table(title=f"AttriKit on {machine()}", title_justify="left")
    for column in ("what", "figure", "unit", "baseline", "ratio"):
        table.add_column(column, justify="left" if column in {"what", "unit"} else "right")
    for figure in figures:
        baseline = f"{figure.baseline:,.0f}" if figure.baseline else ""
        ratio = f"{figure.ratio:.1f}x" if figure.ratio else ""
        table.add_row(figure.name, f"{figure.value:,.1f}", figure.unit, baseline, ratio)
    Console(width=120).print(table)
