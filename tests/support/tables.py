"""Reads the tables of an embedded installation that is stopped, in a process of its own: chDB opens one folder in each.

python tables.py DATA_DIR < {"name": "SELECT …"} > {"name": [{"column": value, …}, …]}
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]

FACTS = ("events", "sessions", "touches", "conversions", "attributions", "rejected", "event_marks", "person_links")


def read_tables(data_dir: Path, queries: dict[str, str]) -> dict[str, Rows]:
    """The answer to each query."""
    argv = [sys.executable, __file__, str(data_dir)]
    done = subprocess.run(argv, input=json.dumps(queries), capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"the tables in {data_dir} cannot be read:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def dump_tables(data_dir: Path) -> dict[str, Rows]:
    """Every fact a reader can see: final rows, all columns, in one order."""
    return read_tables(data_dir, {name: f"SELECT * FROM {name} FINAL ORDER BY ALL" for name in FACTS})


async def _answer(data_dir: str, queries: dict[str, str]) -> dict[str, Rows]:
    from pipeline.runtime.clickhouse import ClickHouse
    from pipeline.runtime.settings import Settings

    clickhouse = ClickHouse.open(Settings.model_construct().model_copy(update={"data_dir": Path(data_dir)}))
    try:
        return {name: _rows(await clickhouse.query_bytes(sql)) for name, sql in queries.items()}
    finally:
        clickhouse.close()


def _rows(lines: bytes) -> Rows:
    return [json.loads(line) for line in lines.splitlines()]


if __name__ == "__main__":
    json.dump(asyncio.run(_answer(sys.argv[1], json.load(sys.stdin))), sys.stdout)
