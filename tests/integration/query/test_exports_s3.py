"""The storage, over a folder and over a real S3 server (moto's): the same promises."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from pipeline.runtime.settings import Settings
from services.query.exports.storage import NoSuchFile, Storage, StorageFailed

BUCKET = "exports"
LARGE = 20 * 1024 * 1024
"""Several parts of an upload."""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server with an empty bucket."""
    from deploy.local.ports import free_port

    port = free_port()
    log = (tmp_path_factory.mktemp("s3") / "moto.log").open("wb")
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(trust_env=False) as client:
            _wait_until_up(client, url)
            client.put(f"{url}/{BUCKET}").raise_for_status()
        yield url
    finally:
        server.terminate()
        server.wait(10)
        log.close()


def _wait_until_up(client: httpx.Client, url: str) -> None:
    for _ in range(600):
        try:
            client.get(f"{url}/moto-api/")
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the S3 server did not come up")


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    if request.param == "folder":
        return Storage.open(Settings(data_dir=tmp_path))
    for name, value in {
        "AWS_ENDPOINT_URL": request.getfixturevalue("s3"),
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return Storage.open(Settings(data_dir=tmp_path, export_url=f"s3://{BUCKET}/team"))


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


async def test_a_bucket_that_is_not_there(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    elsewhere = Storage.open(Settings(export_url="s3://no-such-bucket"))
    with pytest.raises(StorageFailed):
        await elsewhere.write("a.csv", pieces(b"x"))


def test_an_address_of_nothing_known() -> None:
    with pytest.raises(StorageFailed):
        Storage.open(Settings().model_copy(update={"export_url": SecretStr("gopher://x")}))
