"""The description of a backup, written when everything else of it is, and the questions asked of several. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

FILE_NAME: Final = "backup.json"
_FORMAT: Final = 1
_NAME: Final = "%Y-%m-%dT%H-%M-%SZ"
Counts = Mapping[str, Mapping[str, int]]
"""Table → app → rows."""


class BackupError(Exception):
    """Error: something cannot be kept or brought back; the message is for the operator."""


class Loaded(msgspec.Struct, frozen=True):
    """How far a partition had been loaded into the tables: the offset of the first record that is not in them."""

    topic: str
    partition: int
    next_offset: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of one backup. `loaded` and `rows` were read before the tables were kept, which may hold more."""

    format: int = _FORMAT
    name: str
    """When it was begun, in UTC; the folder of all its files."""
    release: str
    base: str = ""
    """The full backup that this one adds to; empty: it is a full one."""
    disk: str = ""
    """Disk of the ClickHouse server that has the tables; empty: they lie beside this file."""
    database: str
    migrations: tuple[int, ...]
    """ClickHouse migrations of the tables."""
    loaded: tuple[Loaded, ...]
    rows: dict[str, dict[str, int]]
    has_folder: bool
    """It has the files of the data folder too: broker, state of the stream, key file."""
    key_proof: str = ""
    """A text encrypted with the webhook key; empty: there was no key."""


def name_at(now_ms: int) -> str:
    """Return the name of a backup begun at this time; names sort by time."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime(_NAME)


def encoded(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"


def decoded(data: bytes) -> Manifest:
    """Raises `BackupError` if this release cannot read it."""
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise BackupError(f"{FILE_NAME} cannot be read: {error}") from error
    if found.format != _FORMAT:
        raise BackupError(f"the backup {found.name} was made by another release, {found.release}: use that one")
    return found


def complete(files: Iterable[str]) -> list[str]:
    """Return the names of the complete backups among these files, oldest first."""
    return sorted(path.rpartition("/")[0] for path in files if path.endswith(f"/{FILE_NAME}") and path.count("/") == 1)


def base_for(earlier: Iterable[Manifest], disk: str, now_ms: int, full_every_days: float) -> Manifest | None:
    """Return the full backup that a new one adds to; None if it is time for a full one.

    Each adds to a full one, never to another increment: two have to be there to bring one back, however many were made.
    """
    oldest = name_at(now_ms - int(full_every_days * 86_400_000))
    found = [one for one in earlier if not one.base and one.disk == disk and one.name > oldest]
    return max(found, key=lambda one: one.name, default=None)


def fewer_rows(kept: Counts, now: Counts) -> list[str]:
    """Return a line for each table and app that has fewer rows now than the backup."""
    return [
        f"{table}, {app}: {there:,} rows, {rows:,} in the backup"
        for table, apps in sorted(kept.items())
        for app, rows in sorted(apps.items())
        if (there := now.get(table, {}).get(app, 0)) < rows
    ]
