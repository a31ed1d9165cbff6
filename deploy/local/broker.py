"""The Kafka broker of an embedded installation: a small one from a wheel, or Apache Kafka."""

import os
import signal
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Final

from deploy.local.ports import free_port
from deploy.local.process import ChildProcess
from pipeline.runtime.embedded import require

_METADATA_V1: Final = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", -1)


class Broker(ABC):
    """A broker as a child process on one port of this machine, its data in a folder."""

    ready_seconds: ClassVar[float]
    stop_seconds: ClassVar[float]

    def __init__(
        self, argv: Sequence[str], data_dir: Path, log_path: Path, port: int, pass_fds: tuple[int, ...]
    ) -> None:
        self._data_dir = data_dir
        self._port = port
        self.process = ChildProcess("broker", argv, log_path, orphan_signal=signal.SIGTERM, pass_fds=pass_fds)

    @property
    @abstractmethod
    def description(self) -> str: ...

    @property
    def bootstrap(self) -> str:
        """Return `host:port`, the same over restarts."""
        return f"127.0.0.1:{self._port}"

    def spawn(self) -> None:
        """Start the process; `wait_ready` comes next. Call from the main thread."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._prepare()
        self.process.start()

    def _prepare(self) -> None:  # noqa: B027 - nothing, unless a broker needs something
        """Make the data folder ready for the process."""

    def wait_ready(self) -> None:
        """Return when it answers; raises `LaunchError` if it ends first or takes too long."""
        self.process.wait_until(lambda: answers(self._port), self.ready_seconds)

    def start(self) -> None:
        self.spawn()
        self.wait_ready()

    def stop(self) -> None:
        """Stop in order: everything acknowledged before is on disk afterwards."""
        self.process.stop(self.stop_seconds)

    def kill(self) -> None:
        """Kill the process, as a power cut would."""
        self.process.kill()


class NoidaBroker(Broker):
    """noida-db's Kafka: one binary. For development and evaluation only.

    Found by trying (0.2.3): it holds every record in memory and writes all of them anew about once a second while they
    change, and when it is ended with SIGTERM. So SIGKILL loses what was acknowledged since the last save (a second when
    it holds little, minutes when it holds gigabytes). While it saves for the last time it goes on acknowledging records
    that it then forgets: an orderly stop loses nothing if whoever writes has been stopped before, as the launcher does.
    A save that finds the disk full fails without a word: records go on being acknowledged, and are lost when it ends
    (`pipeline.runtime.broker_room` keeps writers from that).
    Groups are for one member. A member with a name of its own (`group.instance.id`) that is gone keeps its partitions:
    they were not given away in 90 s with a session of 6 s, where Apache Kafka took 5 s. So a killed worker must come
    back in the same place, as the launcher sees to. A second member without a name was given nothing in 60 s. Of two
    members with names, one that was killed and comes back may divide the partitions anew without a new generation: the
    other is not told, both work on the same partitions, and nobody on the rest (once in ten runs of two workers).
    Offsets of consumer groups are saved too. Retention by time and by size, compaction and deletion of records work,
    and give memory back.
    """

    ready_seconds = 120.0
    stop_seconds = 300.0
    """Maximum time to save at its end: it writes all it holds, at some 6 MB of records a second."""

    def __init__(self, data_dir: Path, log_path: Path, port: int | None = None, pass_fds: tuple[int, ...] = ()) -> None:
        port = port or free_port()
        argv = [_noida_binary(), "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", str(data_dir)]
        super().__init__(argv, data_dir, log_path, port, pass_fds)

    @property
    def description(self) -> str:
        return f"noida-db {version('noida-db')} (in memory, saved to disk; for development and evaluation only)"


def _noida_binary() -> str:
    require("noida_db", "BROKER=kafka or ATTRIKIT_KAFKA_BOOTSTRAP")
    path = Path(str(files("noida_db"))) / "noida-db"
    if not os.access(path, os.X_OK):
        path.chmod(0o755)
    return str(path)


def answers(port: int, timeout_seconds: float = 1.0) -> bool:
    """Tell whether a Kafka broker on this machine has a controller, and a leader for every partition it holds.

    The request is Metadata v1 for all topics: every broker of the last ten years knows it.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_seconds) as connection:
            connection.sendall(struct.pack(">i", len(_METADATA_V1)) + _METADATA_V1)
            (size,) = struct.unpack(">i", _receive(connection, 4))
            return is_settled(_receive(connection, size))
    except (OSError, struct.error):
        return False


def _receive(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionError("closed while answering")
        parts += part
    return bytes(parts)


def is_settled(response: bytes) -> bool:
    """Tell whether a Metadata v1 response names a broker, a controller, and a leader of each partition.

    Source of the layout: the protocol guide of Apache Kafka, "Metadata API (Key: 3)".
    """
    reader = _Reader(response)
    reader.integer(4)  # correlation id
    brokers = reader.integer(4)
    for _ in range(brokers):
        reader.integer(4)  # node
        reader.text()  # host
        reader.integer(4)  # port
        reader.text()  # rack
    controller = reader.integer(4)
    leaders = [leader for _ in range(reader.integer(4)) for leader in _leaders(reader)]
    return brokers > 0 and controller >= 0 and all(leader >= 0 for leader in leaders)


def _leaders(reader: "_Reader") -> list[int]:
    """Return the leaders of one topic's partitions."""
    reader.integer(2)  # error
    reader.text()  # name
    reader.integer(1)  # is internal
    leaders = []
    for _ in range(reader.integer(4)):
        reader.integer(2)  # error
        reader.integer(4)  # partition
        leaders.append(reader.integer(4))
        for _ in range(2):  # replicas, in-sync replicas
            reader.skip(4 * reader.integer(4))
    return leaders


class _Reader:
    """Reader of the bytes of a response, one field after another; raises `struct.error` where the bytes end too
    soon.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def integer(self, size: int) -> int:
        (value,) = struct.unpack_from({1: ">b", 2: ">h", 4: ">i"}[size], self._data, self._at)
        self._at += size
        return int(value)

    def text(self) -> None:
        """Skip a string, which may be null."""
        self.skip(max(self.integer(2), 0))

    def skip(self, size: int) -> None:
        self._at += size
