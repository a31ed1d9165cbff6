"""The storage, over a folder and over a real S3 server (moto's): the same promises."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from s3_server import S3

from pipeline.runtime.settings import Settings
from services.query.exports.storage import NoSuchFile, Storage, StorageFailed

LARGE = 20 * 1024 * 1024
"""Several parts of an upload."""


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    if request.param == "folder":
        return Storage.open(Settings(data_dir=tmp_path))
    request.getfixturevalue("s3")
    return Storage.open(Settings(data_dir=tmp_path, export_url=f"{S3}/team"))


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


async def content(storage: Storage, name: str) -> bytes:
    size, found = await storage.read(name)
    read = b"".join([piece async for piece in found])
    assert len(read) == size
    return read


async def test_what_is_written_is_read(storage: Storage) -> None:
    await storage.write("a.csv", pieces(b"x", b"", b"y" * LARGE, b"z"))
    assert await content(storage, "a.csv") == b"x" + b"y" * LARGE + b"z"
    await storage.write("a.csv", pieces(b"again"))
    assert await content(storage, "a.csv") == b"again"
    await storage.write("empty.csv", pieces())
    assert await content(storage, "empty.csv") == b""


async def test_a_file_appears_whole_or_not_at_all(storage: Storage, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"y" * LARGE
        raise RuntimeError("the query broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        await storage.write("half.csv", broken())
    with pytest.raises(NoSuchFile):
        await storage.read("half.csv")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "nothing is left lying about"


async def test_a_cancelled_write_leaves_nothing(storage: Storage, tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"y" * LARGE
        reached.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(storage.write("half.csv", endless()))
    await asyncio.wait_for(reached.wait(), 20)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    with pytest.raises(NoSuchFile):
        await storage.read("half.csv")


async def test_deleting_what_is_not_there(storage: Storage) -> None:
    await storage.write("a.csv", pieces(b"x"))
    await storage.delete("a.csv")
    await storage.delete("a.csv")
    with pytest.raises(NoSuchFile):
        await storage.read("a.csv")


async def test_a_bucket_that_is_not_there(s3: None) -> None:
    elsewhere = Storage.open(Settings(export_url="s3://no-such-bucket"))
    with pytest.raises(StorageFailed, match="NoSuchBucket"):
        await elsewhere.write("a.csv", pieces(b"x"))


def test_an_address_of_nothing_known() -> None:
    with pytest.raises(StorageFailed):
        Storage.open(Settings().model_copy(update={"export_url": SecretStr("gopher://x")}))
