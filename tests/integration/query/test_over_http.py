"""The tests of this folder once more, over a ClickHouse server instead of chDB, and over a cluster of two shards with
two replicas each: they must stay interchangeable. The cluster is part of `make deploy-test`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from clickhouse_cluster import NAME as CLUSTER_NAME
from clickhouse_cluster import clickhouse_cluster, missing
from docker.errors import DockerException
from testcontainers.community.clickhouse import ClickHouseContainer

SERVER_URL = "ATTRIKIT_TEST_CLICKHOUSE_URL"
"""Variable that `conftest` reads."""
CLUSTER = "ATTRIKIT_TEST_CLICKHOUSE_CLUSTER"
"""Variable with the name of the cluster there; read there too."""


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_the_same_over_a_server() -> None:
    _skip_if_this_is_that_run()
    try:
        server = ClickHouseContainer("clickhouse/clickhouse-server:25.8").start()
    except DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    with server:
        host, port = server.get_container_host_ip(), server.get_exposed_port(8123)
        _run({SERVER_URL: f"http://{server.username}:{server.password}@{host}:{port}"})


@pytest.mark.docker
@pytest.mark.timeout(1_800)
@pytest.mark.skipif("DEPLOY_TEST" not in os.environ, reason="a cluster in containers is part of make deploy-test")
def test_the_same_over_a_cluster(tmp_path: Path) -> None:
    _skip_if_this_is_that_run()
    if reason := missing():
        pytest.skip(reason)
    with clickhouse_cluster(tmp_path) as url:
        _run({SERVER_URL: url, CLUSTER: CLUSTER_NAME})


def _skip_if_this_is_that_run() -> None:
    """The run that is started here meets this file too, and would start another."""
    if os.environ.get(SERVER_URL):
        pytest.skip("this is the run over a server that a test of this file has started")


def _run(variables: dict[str, str]) -> None:
    argv = [sys.executable, "-m", "pytest", str(Path(__file__).parent), "-q", "-x"]
    done = subprocess.run(argv, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
