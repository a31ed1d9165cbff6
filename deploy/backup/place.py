"""The place of backups: a bucket of any S3-compatible store, or a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from deploy.backup.manifest import FILE_NAME, BackupError, Manifest, complete, decoded
from services.query.exports.storage import Storage


@dataclass(frozen=True)
class Place:
    """Folder or bucket of backups. `url`: `s3://bucket/prefix` or `file:///folder`."""

    url: str

    @classmethod
    def of(cls, given: str) -> Self:
        """Take a URL or the path of a folder. Raises `BackupError`."""
        if "://" not in given:
            return cls(Path(given).resolve().as_uri())
        if urlsplit(given).scheme not in {"s3", "file"}:
            raise BackupError(f"{given}: expected s3://bucket/prefix or a folder")
        return cls(given.rstrip("/"))

    def storage(self) -> Storage:
        return Storage.at(self.url)

    def manifests(self) -> list[Manifest]:
        """Return the complete backups, oldest first. Raises `BackupError` and `StorageFailed`."""
        storage = self.storage()
        return [_read(storage, name) for name in complete(storage.names())]

    def manifest(self, name: str) -> Manifest:
        """Return a backup's; of the last one if no name is given. Raises `BackupError` and `StorageFailed`."""
        parts = urlsplit(self.url)
        if parts.scheme == "file" and not Path(unquote(parts.path)).is_dir():
            raise BackupError(f"{unquote(parts.path)}: there is no such folder")  # to look must not make one
        names = complete(self.storage().names())
        if name not in names and (name or not names):
            there = f"there are {', '.join(names)}" if names else "there is none"
            raise BackupError(f"{self.url} has no backup {name}: {there}".replace(" :", ":"))
        return _read(self.storage(), name or names[-1])

    def tables(self, name: str, disk: str, environment: Mapping[str, str]) -> str:
        """Return where ClickHouse keeps the tables of a backup, in SQL."""
        if disk:
            return f"Disk({_quoted(disk)}, {_quoted(name)})"
        parts = urlsplit(self.url)
        if parts.scheme == "file":
            return f"File({_quoted(f'{unquote(parts.path)}/{name}/tables')})"
        key, secret = environment.get("AWS_ACCESS_KEY_ID", ""), environment.get("AWS_SECRET_ACCESS_KEY", "")
        address = f"{_endpoint(parts.netloc, environment)}{parts.path}/{name}/tables"
        return f"S3({', '.join(map(_quoted, (address, key, secret) if key else (address,)))})"


def _endpoint(bucket: str, environment: Mapping[str, str]) -> str:
    """Return the bucket's address, from the variables that every S3 client knows."""
    own = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    if own:
        return f"{own.rstrip('/')}/{bucket}"
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    return f"https://{bucket}.s3.{region}.amazonaws.com"


def _read(storage: Storage, name: str) -> Manifest:
    with storage.reading(f"{name}/{FILE_NAME}") as file:
        return decoded(bytes(file.read()))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
