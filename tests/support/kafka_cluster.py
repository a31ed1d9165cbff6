"""Three nodes of Apache Kafka on this machine, each broker and controller: what one of them has, another has too."""

from pathlib import Path
from typing import Final

from deploy.local.apache_kafka import KafkaBroker, new_cluster_id
from deploy.local.ports import free_port

NODES: Final = 3
SETTINGS: Final = {"replication_factor": 3, "min_insync_replicas": 2}
"""Settings of an installation on it: a record is acknowledged once two nodes have it."""
_PROPERTIES: Final = """
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
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
