"""Three nodes of Apache Kafka, each broker and controller: what one of them has, another has too.

`KafkaCluster` has them on this machine, `SecuredCluster` on hosts of a network, with TLS and logins.
"""

import asyncio
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from certificates import Authority
from namespaces import Network
from pydantic import SecretStr
from secured_kafka import tls_properties

from deploy.local.apache_kafka import KafkaBroker, new_cluster_id
from deploy.local.ports import free_port
from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.connection import connection_options

NODES: Final = 3
SETTINGS: Final = {"replication_factor": 3, "min_insync_replicas": 2}
"""Settings of an installation on it: a record is acknowledged once two nodes have it."""
_PROPERTIES: Final = """
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
log.flush.interval.messages=9223372036854775807
replica.lag.time.max.ms=5000
"""


class KafkaCluster:
    """`nodes[n]` can be killed, frozen and started again."""

    def __init__(self, folder: Path) -> None:
        ports = [(free_port(), free_port()) for _ in range(NODES)]
        cluster_id = new_cluster_id()
        voters = ",".join(f"{number}@127.0.0.1:{own}" for number, (_, own) in enumerate(ports, 1))
        self.nodes = [
            KafkaBroker(
                folder / f"node-{number}",
                folder / f"node-{number}.log",
                port,
                properties=[
                    *_PROPERTIES.split(),
                    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                    f"node.id={number}",
                    f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
                    f"controller.quorum.voters={voters}",
                ],
                cluster_id=cluster_id,
            )
            for number, (port, controller_port) in enumerate(ports, 1)
        ]
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes)

    def start(self) -> None:
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            node.wait_ready()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()


NETWORK: Final = Network("attri-kafka", "10.231.78", (str(number) for number in range(1, NODES + 1)))
_PORT, _CONTROLLER_PORT = 9093, 9094
_USER, _PASSWORD, _BROKER_PASSWORD = "attrikit", "of the clients", "of the brokers"
_MECHANISM: Final = "SCRAM-SHA-512"
_SECURED: Final = f"""
listener.security.protocol.map=CLIENTS:SASL_SSL,CONTROLLER:SSL
inter.broker.listener.name=CLIENTS
sasl.mechanism.inter.broker.protocol={_MECHANISM}
listener.name.clients.sasl.enabled.mechanisms={_MECHANISM}
listener.name.controller.ssl.client.auth=required
"""
_LOGIN: Final = (
    "listener.name.clients.scram-sha-512.sasl.jaas.config="
    "org.apache.kafka.common.security.scram.ScramLoginModule required "
    f'username="broker" password="{_BROKER_PASSWORD}";'
)
_ASK_SECONDS: Final = 5.0
_READY_SECONDS: Final = 120.0


class Placed(NamedTuple):
    """A partition: its leader, and the nodes that have all of it, as the node that was asked sees it."""

    topic: str
    partition: int
    leader: str
    in_sync: frozenset[str]


class SecuredNode(KafkaBroker):
    """A node on a host of `NETWORK`, with the host's name as its number."""

    def __init__(self, folder: Path, host: str, authority: Authority, cluster_id: str) -> None:
        self.host = host
        address = NETWORK.addresses[host]
        voters = ",".join(f"{each}@{NETWORK.addresses[each]}:{_CONTROLLER_PORT}" for each in NETWORK.addresses)
        super().__init__(
            folder / f"node-{host}",
            folder / f"node-{host}.log",
            _PORT,
            properties=[
                *_PROPERTIES.split(),
                *_SECURED.split(),
                _LOGIN,
                *tls_properties(authority, f"broker-{host}", address),
                f"node.id={host}",
                f"listeners=CLIENTS://{address}:{_PORT},CONTROLLER://{address}:{_CONTROLLER_PORT}",
                f"controller.quorum.voters={voters}",
            ],
            format_options=[
                option
                for user, password in ((_USER, _PASSWORD), ("broker", _BROKER_PASSWORD))
                for option in ("--add-scram", f"{_MECHANISM}=[name={user},password={password}]")
            ],
            cluster_id=cluster_id,
        )

    @property
    def bootstrap(self) -> str:
        return f"{NETWORK.addresses[self.host]}:{self._port}"

    def _command(self, main: str, *arguments: str) -> list[str]:
        return NETWORK.inside(self.host, *super()._command(main, *arguments))


class SecuredCluster:
    """Three nodes on three hosts of `NETWORK`, which has to be made. Clients and brokers log in with SCRAM over TLS,
    controllers with their certificates.
    """

    def __init__(self, folder: Path) -> None:
        authority, cluster_id = Authority(folder / "authority"), new_cluster_id()
        self.nodes = {host: SecuredNode(folder, host, authority, cluster_id) for host in NETWORK.addresses}
        self.settings: dict[str, Any] = SETTINGS | {
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ca_path": str(authority.ca),
            "kafka_sasl_mechanism": _MECHANISM,
            "kafka_username": _USER,
            "kafka_password": SecretStr(_PASSWORD),
        }
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes.values())

    def spawn(self) -> None:
        for node in self.nodes.values():
            node.spawn()

    def kill(self) -> None:
        for node in self.nodes.values():
            node.kill()

    async def ready(self) -> None:
        """Return when every node knows all of them."""
        async with asyncio.timeout(_READY_SECONDS):
            for host, node in self.nodes.items():
                while len((await self._metadata(host)).get("brokers", ())) < NODES:
                    assert node.process.is_running, node.process.log_tail()
                    await asyncio.sleep(0.2)

    async def placed(self, asked: str) -> list[Placed]:
        """Return the partitions of all topics as a node sees them, once it answers."""
        async with asyncio.timeout(_READY_SECONDS):
            while not (found := await self._metadata(asked)):
                await asyncio.sleep(0.2)
        return [
            Placed(topic["topic"], each["partition"], str(each["leader"]), frozenset(map(str, each["isr"])))
            for topic in found["topics"]
            for each in topic["partitions"]
        ]

    async def _metadata(self, asked: str) -> dict[str, Any]:
        """Return what a node says of the cluster; empty if it does not answer."""
        settings = KafkaSettings(kafka_bootstrap=self.nodes[asked].bootstrap, **self.settings)
        client = AIOKafkaClient(**connection_options(settings))
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                await client.bootstrap()
                found: dict[str, Any] = (await client.send(int(asked), MetadataRequest(None))).to_object()
                return found
        except (KafkaError, OSError):
            return {}
        finally:
            await client.close()
