"""`/sdk/…`: the built files of the browser SDK, as a page's browser asks for them."""

import base64
import gzip
import json
from hashlib import sha384
from pathlib import Path

import httpx
import pytest

from services.gateway.sdk import SdkFiles

SCRIPT = "attrikit.min.js"
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
async def version(client: httpx.AsyncClient) -> str:
    return str((await client.get("/sdk/latest/integrity.json")).json()["version"])


async def test_the_latest_script_is_looked_at_again_soon(client: httpx.AsyncClient, version: str) -> None:
    answer = await client.get(f"/sdk/latest/{SCRIPT}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert f'"{version}"' in answer.text
    again = await client.get(f"/sdk/latest/{SCRIPT}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert "x-request-id" in again.headers


async def test_a_version_never_changes_and_its_integrity_is_known(client: httpx.AsyncClient, version: str) -> None:
    known = (await client.get(f"/sdk/{version}/integrity.json")).json()["files"]
    for name, integrity in known.items():
        answer = await client.get(f"/sdk/{version}/{name}")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert integrity == "sha384-" + base64.b64encode(sha384(answer.content).digest()).decode()
    assert SCRIPT in known


@pytest.mark.parametrize("coding", ["br", "gzip", "identity"])
async def test_it_comes_in_the_coding_that_is_asked_for(client: httpx.AsyncClient, coding: str) -> None:
    plain = await client.get(f"/sdk/latest/{SCRIPT}", headers=PLAIN)
    answer = await client.get(f"/sdk/latest/{SCRIPT}", headers={"Accept-Encoding": f"zstd, {coding};q=0.9"})
    assert answer.headers.get("content-encoding", "identity") == coding
    assert answer.content == plain.content
    assert answer.headers["vary"] == "Accept-Encoding"
    assert (answer.headers["etag"] == plain.headers["etag"]) is (coding == "identity")


@pytest.mark.parametrize(
    "path", ["/sdk/", "/sdk/latest", "/sdk/9.9.9/attrikit.min.js", "/sdk/latest/%2e%2e/__init__.py"]
)
async def test_there_is_nothing_else(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


async def test_a_head_request_has_the_headers_alone(client: httpx.AsyncClient) -> None:
    answer = await client.head(f"/sdk/latest/{SCRIPT}", headers=PLAIN)
    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 10_000


async def test_the_script_is_small(client: httpx.AsyncClient) -> None:
    script = (await client.get(f"/sdk/latest/{SCRIPT}", headers=PLAIN)).content
    assert len(script) <= 20_000
    assert len(gzip.compress(script, 9)) <= 8_000


def test_the_latest_version_is_the_greatest_number(tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0", "0.2.11"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "integrity.json").write_text(json.dumps({"version": version}))
    found = SdkFiles(tmp_path)
    assert found.latest == "0.10.0"
    latest = found.find("latest", "integrity.json", "")
    assert latest is not None
    assert json.loads(latest.body) == {"version": "0.10.0"}
