"""`attrikit copy-tables`: rows and bytes a second from chDB into the stand-in for a ClickHouse server, and comparing.

The stand-in shares this machine's processors with the command, and hands each page to chDB in a file. Bytes are those
of the rows as JSON, as they pass through the command. `COPY_EVENTS` makes it another number of events.
"""

import asyncio
import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from figures import Figure

_HERE: Final = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "support")]

from clickhouse_over_chdb import standing_in_process  # noqa: E402
from fill import fill  # noqa: E402

from deploy.table_copy.command import TABLES, copy_tables, differences  # noqa: E402
from pipeline.runtime.clickhouse import ClickHouse, migrate  # noqa: E402
from pipeline.runtime.settings import Settings  # noqa: E402

EVENTS: Final = int(os.environ.get("COPY_EVENTS", "100000"))


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, standing_in_process(Path(folder) / "target", shards=0) as url:
        of_target = Settings(data_dir=Path(folder), clickhouse_url=f"{url}/copied")
        with (
            closing(ClickHouse.open(Settings(data_dir=Path(folder) / "source"))) as source,
            closing(ClickHouse.open(of_target)) as target,
        ):
            return asyncio.run(_measure(source, target))


async def _measure(source: ClickHouse, target: ClickHouse) -> list[Figure]:
    await migrate(source)
    await fill(source, EVENTS)
    rows, size_bytes = await _size(source)
    began = time.perf_counter()
    assert await copy_tables(source, target, lambda _: None) == []
    copied = time.perf_counter()
    assert await differences(source, target, lambda _: None) == []
    compared = time.perf_counter()
    seconds, comparing_seconds = copied - began - (compared - copied), compared - copied
    return [
        Figure("copy-tables, copying", rows / seconds, "rows/s"),
        Figure("copy-tables, copying", size_bytes / 1e6 / seconds, "MB/s of JSON"),
        Figure("copy-tables, comparing", rows / comparing_seconds, "rows/s"),
    ]


async def _size(source: ClickHouse) -> tuple[int, int]:
    """Return the number of rows that are copied, and their bytes as JSON."""
    of_each = [
        (await source.query(f"SELECT count(), sum(length(formatRow('JSONEachRow', *))) FROM {table}"))[0]
        for table in TABLES
    ]
    return sum(rows for rows, _ in of_each), sum(size for _, size in of_each)


if __name__ == "__main__":
    for figure in run():
        print(figure.json_line(), flush=True)
