"""The files of a data folder that was filled by `attrikit up`: its broker, the state of its stream, its keys.

They belong together to the offset, so they are kept while nothing runs.
"""

import gzip
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from deploy.local.folder import DataFolder
from pipeline.runtime.secret_box import KEY_FILE

_RUNNER_LOCK: Final = "control.db.migrating"
_ELSEWHERE: Final = {
    *("clickhouse", "clickhouse-spool", "clickhouse.lock", "control.db", "lock", "logs", "running.json", _RUNNER_LOCK)
}
"""Tables and control plane are kept by themselves; the rest is of the run that has ended."""


def paths_to_keep(data_dir: Path) -> list[Path]:
    """Return what is kept: all, where `attrikit up` filled it; elsewhere a key file, if there is one."""
    if has_broker(data_dir):
        return [path for path in sorted(data_dir.iterdir()) if path.name not in _ELSEWHERE]
    return [path for path in [data_dir / KEY_FILE] if path.exists()]


def has_broker(data_dir: Path) -> bool:
    return (data_dir / "broker").is_dir()


def is_used(data_dir: Path) -> bool:
    """Tell whether anything lies in the folder but the lock of who migrates, a restore's own."""
    return data_dir.exists() and any(path.name != _RUNNER_LOCK for path in data_dir.iterdir())


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Keep others from using a folder with a broker. Raises `LaunchError` if something runs in it."""
    if not has_broker(data_dir):
        yield
        return
    folder = DataFolder.open(data_dir, lambda _: None)
    try:
        yield
    finally:
        folder.release()


def pack(paths: Iterable[Path], file: IO[bytes]) -> None:
    with (
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for path in paths:
            archive.add(path, path.name)


def unpack(file: IO[bytes], data_dir: Path) -> None:
    data_dir.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=file, mode="r|gz") as archive:
        archive.extractall(data_dir, filter="data")
