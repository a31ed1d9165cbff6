"""A loader in a process of its own, to be killed: python loader_process.py DATA_DIR BOOTSTRAP GROUP MAX_ROWS"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.settings import Settings
from services.loader.app import Loader


@contextmanager
def started(data_dir: Path, bootstrap: str, group: str, max_rows: int) -> Iterator[subprocess.Popen[bytes]]:
    """Killed at the end, unless it has ended."""
    argv = [sys.executable, __file__, str(data_dir), bootstrap, group, str(max_rows)]
    process = subprocess.Popen(argv)
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


async def _main(data_dir: str, bootstrap: str, group: str, max_rows: str) -> None:
    settings = Settings(data_dir=Path(data_dir), kafka_bootstrap=bootstrap, loader_max_rows=int(max_rows))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    clickhouse = ClickHouse.open(settings)
    try:
        await Loader(settings, clickhouse, group, instance_id=f"{group}-1").run(stop)
    finally:
        clickhouse.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
