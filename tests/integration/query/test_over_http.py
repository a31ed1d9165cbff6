"""The tests of this folder once more, over a ClickHouse server instead of chDB: the two must stay interchangeable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from docker.errors import DockerException
from testcontainers.community.clickhouse import ClickHouseContainer

SERVER_URL = "ATTRIKIT_TEST_CLICKHOUSE_URL"
"""Variable that `conftest` reads."""


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_the_same_over_a_server() -> None:
    if os.environ.get(SERVER_URL):
        pytest.skip("this is that run")
    try:
        server = ClickHouseContainer("clickhouse/clickhouse-server:25.8").start()
    except DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    with server:
        host, port = server.get_container_host_ip(), server.get_exposed_port(8123)
        url = f"http://{server.username}:{server.password}@{host}:{port}"
        argv = [sys.executable, "-m", "pytest", str(Path(__file__).parent), "-q", "-x"]
        done = subprocess.run(argv, env=os.environ | {SERVER_URL: url}, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout[-5000:]
