"""Storage of files: a folder, or a bucket of any S3-compatible store. One interface for both (obstore)."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Final, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from pipeline.runtime.settings import ExportSettings

_PART_BYTES: Final = 8 * 1024 * 1024
_PARTS_AT_ONCE: Final = 2
_READ_BYTES: Final = 256 * 1024


class StorageFailed(Exception):
    """Error: the folder or the bucket cannot be used; the message says why."""


class NoSuchFile(StorageFailed):
    """Error: the file is not there (any more)."""


class Storage:
    """Storage of files. Its methods raise `StorageFailed`."""

    def __init__(self, store: Any) -> None:
        self._store = store

    @classmethod
    def open(cls, settings: ExportSettings) -> "Storage":
        """Open the storage at `settings.export_url`, or in a folder under `settings.data_dir`. Nothing is connected
        yet.

        For a bucket, region, endpoint and credentials come from the `AWS_…` variables every S3 client knows.
        """
        if not settings.export_url:
            return cls(LocalStore(settings.data_dir.resolve() / "exports", mkdir=True))
        return cls.at(settings.export_url.get_secret_value())

    @classmethod
    def at(cls, url: str) -> "Storage":
        """Open the bucket `s3://bucket/prefix` or the folder `file:///folder`."""
        try:
            return cls(from_url(url, mkdir=True) if url.startswith("file:") else from_url(url))
        except Exception as error:
            raise StorageFailed(_said(error)) from error

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        """Write a file: all pieces or none; it appears when it is complete."""
        failure: list[Exception] = []

        async def watched() -> AsyncIterator[bytes]:
            try:
                async for piece in pieces:
                    yield piece
            except Exception as error:
                failure.append(error)
                raise

        try:
            await obstore.put_async(
                self._store, name, watched(), use_multipart=True, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            )
        except Exception as error:
            if failure:
                raise failure[0] from None  # what went wrong is not the store's fault
            raise StorageFailed(_said(error)) from error

    async def read(self, name: str) -> tuple[int, AsyncIterator[bytes]]:
        """Return the size in bytes, and the content piece by piece."""
        try:
            found = await obstore.get_async(self._store, name)
        except FileNotFoundError as error:
            raise NoSuchFile(name) from error
        except Exception as error:
            raise StorageFailed(_said(error)) from error

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in found.stream(min_chunk_size=_READ_BYTES):
                yield bytes(piece)

        return int(found.meta["size"]), pieces()

    async def delete(self, name: str) -> None:
        """Delete a file; no error if it is not there."""
        with suppress(FileNotFoundError):
            try:
                await obstore.delete_async(self._store, name)
            except FileNotFoundError:
                raise
            except Exception as error:
                raise StorageFailed(_said(error)) from error

    def names(self) -> list[str]:
        """Return the names of all files."""
        try:
            return [str(meta["path"]) for batch in obstore.list(self._store) for meta in batch]
        except Exception as error:
            raise StorageFailed(_said(error)) from error

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file to be written, blocking. It appears when the block ends without error."""
        with _told_as_ours():
            file = obstore.open_writer(self._store, name)
            yield cast(IO[bytes], file)
            file.close()

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file to be read, blocking."""
        with _told_as_ours():
            try:
                file = obstore.open_reader(self._store, name)
            except FileNotFoundError as error:
                raise NoSuchFile(name) from error
            yield cast(IO[bytes], file)


@contextmanager
def _told_as_ours() -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        raise StorageFailed(_said(error)) from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
