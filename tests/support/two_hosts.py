"""Two hosts of one network, as network namespaces of this machine, and an installation spread over both.

The hosts reach what runs on this machine itself (broker, databases, load balancers) at `ADDRESS`, and nothing else.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

import httpx
import pytest

from deploy.local.process import ChildProcess

ADDRESS: Final = "10.231.77.1"
HOSTS: Final = {"a": "10.231.77.2", "b": "10.231.77.3"}
NETWORK: Final = "10.231.77.0/24"
_BRIDGE: Final = "attrikit-test"
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


@contextmanager
def network() -> Iterator[None]:
    """Make the hosts and the bridge between them, anew where a killed run left some. Skips where that is refused."""
    leftovers = [["link", "del", _BRIDGE], *(["netns", "del", _namespace(host)] for host in HOSTS)]
    for words in leftovers:
        with suppress(OSError, subprocess.CalledProcessError):
            _ip(*words)
    with ExitStack() as undo:
        try:
            _ip("link add", _BRIDGE, "type bridge")
            undo.callback(_ip, "link del", _BRIDGE)
            _ip("addr add", f"{ADDRESS}/24", "dev", _BRIDGE)
            _ip("link set", _BRIDGE, "up")
            for host, address in HOSTS.items():
                _add_host(host, address, undo)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespaces can be made here (iproute2, root): {error}")
        yield


def _add_host(host: str, address: str, undo: ExitStack) -> None:
    inside = f"-n {_namespace(host)}"
    _ip("netns add", _namespace(host))
    undo.callback(_ip, "netns del", _namespace(host))
    _ip("link add", f"ak-{host}", "type veth peer name eth0 netns", _namespace(host))
    _ip("link set", f"ak-{host}", "master", _BRIDGE, "up")
    _ip(inside, "addr add", f"{address}/24", "dev eth0")
    for device in ("eth0", "lo"):
        _ip(inside, "link set", device, "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *" ".join(words).split()], check=True, capture_output=True)


def _namespace(host: str) -> str:
    return f"{_BRIDGE}-{host}"


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
        argv = ["ip", "netns", "exec", _namespace(host), *_program(*_COMMANDS.get(kind, [kind]))]
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
    """Pass each connection to `ADDRESS:port` on to one of the targets of that moment, in turn: a load balancer that
    knows nothing of HTTP, as a Service of Kubernetes.
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

    server = await asyncio.start_server(connected, ADDRESS, port)
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
