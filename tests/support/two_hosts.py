"""An installation spread over two hosts of one network, which reach the broker, the databases and the load balancers on
this machine itself.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final

import httpx
from namespaces import Network

from deploy.local.process import ChildProcess

NETWORK: Final = Network("attrikit-test", "10.231.77", "ab")
HOSTS: Final = NETWORK.addresses
PORTS: Final = {
    **{"gateway": 8000, "query": 8010, "worker": 8020, "loader": 8030},
    **{"alerts": 8040, "webhooks": 8050, "console": 8060},
}
"""Kinds of processes, and the port of each on its host."""
_PORT_SETTINGS: Final = {
    **{"gateway": "PORT", "query": "PORT", "worker": "WORKER_PORT", "loader": "LOADER_PORT"},
    **{"alerts": "ALERTS_PORT", "webhooks": "WEBHOOKS_PORT", "console": "CONSOLE_PORT"},
}
_COMMANDS: Final = {"alerts": ["alerts", "serve"], "webhooks": ["webhooks", "serve"]}
_READY_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 90.0


class Site:
    """One process of each kind on each host. `shared`: settings of all of them, as variables without `ATTRIKIT_`.

    A process runs the program of a `tree`; None: that of this one.
    """

    def __init__(self, folder: Path, shared: Mapping[str, str], own: Mapping[str, Mapping[str, str]]) -> None:
        self._folder = folder
        self._shared = shared
        self._own = own
        self.processes: dict[tuple[str, str], ChildProcess] = {}
        self.taking_traffic: set[tuple[str, str]] = set()
        """Processes that a load balancer sends requests to."""

    async def start(self, tree: Path | None) -> None:
        """Start all, and return when they are ready."""
        for kind in PORTS:
            for host in HOSTS:
                self.launch(kind, host, tree)
        for kind, host in self.processes:
            await asyncio.to_thread(self.wait_ready, kind, host)

    def launch(self, kind: str, host: str, tree: Path | None) -> None:
        """Start a process; call from the main thread (see `ChildProcess.start`)."""
        argv = NETWORK.inside(host, *_program(*_COMMANDS.get(kind, [kind])))
        variables = {"DATA_DIR": str(self._folder / host), "HOST": "0.0.0.0"}
        variables |= self._shared | self._own.get(kind, {}) | {_PORT_SETTINGS[kind]: str(PORTS[kind])}
        log = self._folder / "logs" / f"{kind}-{host}.log"
        self.processes[kind, host] = ChildProcess(kind, argv, log, environment=_environment(variables, tree))
        self.processes[kind, host].start()

    def wait_ready(self, kind: str, host: str) -> None:
        process = self.processes[kind, host]
        process.wait_until(lambda: _is_ready(f"http://{HOSTS[host]}:{PORTS[kind]}"), _READY_SECONDS)
        self.taking_traffic.add((kind, host))

    async def replace(self, kind: str, host: str, tree: Path | None, pre_stop_seconds: float) -> int | None:
        """Replace a process by that of another tree, as Kubernetes does: load balancers send it no more requests, and
        some time later it is told to end. Return its exit code.
        """
        self.taking_traffic.discard((kind, host))
        await asyncio.sleep(pre_stop_seconds)  # the chart's `preStop`
        code = await asyncio.to_thread(self.processes[kind, host].stop, _STOP_SECONDS)
        self.launch(kind, host, tree)
        await asyncio.to_thread(self.wait_ready, kind, host)
        return code

    def run(self, tree: Path | None, *command: str) -> str:
        """Run a command of the program to its end, on this machine."""
        variables = {"DATA_DIR": str(self._folder / "operator")} | self._shared
        done = subprocess.run(
            _program(*command), env=_environment(variables, tree), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        for process in self.processes.values():
            process.stop(_STOP_SECONDS)


def _program(*command: str) -> list[str]:
    return [sys.executable, "-P", "-m", "deploy.cli", *command]


def _environment(variables: Mapping[str, str], tree: Path | None) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("ATTRIKIT_")}
    named = {f"ATTRIKIT_{name}": value for name, value in variables.items()}
    return own | named | ({"PYTHONPATH": str(tree)} if tree else {})


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url + "/readyz", trust_env=False, timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False


@asynccontextmanager
async def balancing(port: int, targets: Callable[[], list[tuple[str, int]]]) -> AsyncIterator[None]:
    """Pass each connection to a port of the network's address on to one of the targets of that moment, in turn: a load
    balancer that knows nothing of HTTP, as a Service of Kubernetes.
    """
    turns = count()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now = targets()
        try:
            far_reader, far_writer = await asyncio.open_connection(*now[next(turns) % len(now)])
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    server = await asyncio.start_server(connected, NETWORK.address, port)
    try:
        yield
    finally:
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
