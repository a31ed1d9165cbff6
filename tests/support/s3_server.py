"""A real S3 server (moto's) with an empty bucket, as a process."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from deploy.local.ports import free_port

_BUCKET: Final = "kept-files"
S3: Final = f"s3://{_BUCKET}"


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run the server; give the variables by which clients find it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (folder / "moto.log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
        try:
            with httpx.Client(trust_env=False) as client:
                _wait_until_up(client, url)
                client.put(f"{url}/{_BUCKET}").raise_for_status()
            yield {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_REGION": "us-east-1",
                "AWS_ALLOW_HTTP": "true",
            }
        finally:
            server.terminate()
            server.wait(10)


def _wait_until_up(client: httpx.Client, url: str) -> None:
    for _ in range(600):
        try:
            client.get(f"{url}/moto-api/")
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the S3 server did not come up")
