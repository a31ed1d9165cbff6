"""A ClickHouse cluster in containers: two shards of two replicas, `main`, with Keeper in one of the servers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import docker
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HttpWaitStrategy

NAME: Final = "main"
_IMAGE: Final = "clickhouse/clickhouse-server:25.8"
_PASSWORD: Final = "of the cluster"
_SHARDS, _REPLICAS = 2, 2
_READY_SECONDS: Final = 180
_KEEPER: Final = """
  <keeper_server>
    <tcp_port>9181</tcp_port>
    <server_id>1</server_id>
    <log_storage_path>/var/lib/clickhouse/coordination/log</log_storage_path>
    <snapshot_storage_path>/var/lib/clickhouse/coordination/snapshots</snapshot_storage_path>
    <raft_configuration><server><id>1</id><hostname>localhost</hostname><port>9234</port></server></raft_configuration>
  </keeper_server>"""


def missing() -> str:
    """Return why no cluster can be started here; empty: there is an engine, and the image. A server that does not start
    is none of it.
    """
    try:
        docker.from_env().images.pull(*_IMAGE.split(":"))
    except DockerException as error:
        return f"no Docker engine, or no image {_IMAGE}: {error}"
    return ""


@contextmanager
def clickhouse_cluster(folder: Path) -> Iterator[str]:
    """Give the URL of the cluster, which names all servers."""
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        places = [(shard, replica) for shard in range(1, _SHARDS + 1) for replica in range(1, _REPLICAS + 1)]
        servers = [_server(folder, network, shard, replica) for shard, replica in places]
        hosts = [_host(stack.enter_context(server)) for server in servers]
        yield f"http://default:{_PASSWORD.replace(' ', '%20')}@{','.join(hosts)}"


def _server(folder: Path, network: Network, shard: int, replica: int) -> DockerContainer:
    configuration = folder / f"{_alias(shard, replica)}.xml"
    configuration.write_text(_configuration(shard, replica))
    configuration.chmod(0o644)
    return (
        DockerContainer(_IMAGE)
        .with_env("CLICKHOUSE_PASSWORD", _PASSWORD)
        .with_volume_mapping(str(configuration), "/etc/clickhouse-server/config.d/cluster.xml")
        .with_network(network)
        .with_network_aliases(_alias(shard, replica))
        .with_exposed_ports(8123)
        .waiting_for(HttpWaitStrategy(8123, "/ping").with_startup_timeout(_READY_SECONDS))
    )


def _configuration(shard: int, replica: int) -> str:
    return f"""<clickhouse>{_KEEPER if (shard, replica) == (1, 1) else ""}
  <zookeeper><node><host>{_alias(1, 1)}</host><port>9181</port></node></zookeeper>
  <interserver_http_host>{_alias(shard, replica)}</interserver_http_host>
  <macros><shard>{shard}</shard><replica>{replica}</replica></macros>
  <remote_servers replace="true"><{NAME}>{"".join(map(_shard, range(1, _SHARDS + 1)))}</{NAME}></remote_servers>
</clickhouse>
"""


def _shard(shard: int) -> str:
    replicas = "".join(
        f"<replica><host>{_alias(shard, replica)}</host><port>9000</port>"
        f"<user>default</user><password>{_PASSWORD}</password></replica>"
        for replica in range(1, _REPLICAS + 1)
    )
    return f"<shard><internal_replication>true</internal_replication>{replicas}</shard>"


def _alias(shard: int, replica: int) -> str:
    return f"clickhouse-{shard}-{replica}"


def _host(server: DockerContainer) -> str:
    return f"{server.get_container_host_ip()}:{server.get_exposed_port(8123)}"
