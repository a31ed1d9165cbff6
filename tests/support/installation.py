"""Gateway, worker, store and dispatcher of one installation as processes of their own, which can be killed and started
again.

What the launcher does for people, without its watching: here a process that dies is the point. The broker is given.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from deploy.local.demo_app import ensure_demo_key
from deploy.local.ports import free_port
from deploy.local.process import ChildProcess
from pipeline.control import ControlPlane, migrate_control_plane
from pipeline.readmodel.progress import open_reader, wait_until_settled
from pipeline.runtime.lifecycle import cancel
from pipeline.runtime.settings import Settings

_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_SUPERVISE_SECONDS = 0.2
SERVICES = ("gateway", "worker", "store")
SECOND_GATEWAY = "gateway2"
SECOND_WORKER = "worker2"
DISPATCHER = "webhooks"
REPLICAS = {SECOND_GATEWAY: ("gateway",), SECOND_WORKER: ("worker",), DISPATCHER: ("webhooks", "serve")}
"""Processes that run only where a test starts them, with their commands; the second worker keeps its state in a folder
of its own."""
OPERATOR_TOKEN = "op_test"


class Installation:
    """`control_plane_of`: share another installation's apps and keys; `own`: further settings and `environment`:
    variables of single processes, by their names.
    """

    def __init__(
        self,
        folder: Path,
        kafka_bootstrap: str,
        control_plane_of: "Installation | None" = None,
        own: Mapping[str, Mapping[str, Any]] | None = None,
        environment: Mapping[str, Mapping[str, str]] | None = None,
        **settings: Any,
    ) -> None:
        ports = {name: free_port() for name in (*SERVICES, *REPLICAS)}
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        dsn = control_plane_of.settings.control_plane_dsn() if control_plane_of else ""
        given = {"data_dir": folder, "kafka_bootstrap": kafka_bootstrap, "control_plane_url": SecretStr(dsn)} | settings
        given |= {"operator_token": SecretStr(OPERATOR_TOKEN), "query_url": self.urls["store"]}
        self.settings = Settings.model_construct().model_copy(update=given)
        folder.mkdir(parents=True, exist_ok=True)
        usual: dict[str, dict[str, Any]] = {
            "gateway": {"port": ports["gateway"], "query_url": self.urls["store"]},
            SECOND_GATEWAY: {"port": ports[SECOND_GATEWAY], "query_url": self.urls["store"]},
            "worker": {"worker_port": ports["worker"]},
            SECOND_WORKER: {
                "worker_port": ports[SECOND_WORKER],
                "data_dir": self.data_dir(SECOND_WORKER),
                "control_plane_url": SecretStr(self.settings.control_plane_dsn()),
            },
            "store": {"port": ports["store"], "count_requests": False, "query_url": ""},
            DISPATCHER: {"webhooks_port": ports[DISPATCHER], "webhooks_instance": "only"},
        }
        self._environment = environment or {}
        self.processes = {
            name: self._process(name, folder, update | dict((own or {}).get(name, {})))
            for name, update in usual.items()
        }
        self.key = demo_key(self.settings)

    def _process(self, name: str, folder: Path, update: dict[str, Any]) -> ChildProcess:
        settings = self.settings.model_copy(update=update)
        own = {key: value for key, value in os.environ.items() if not key.startswith("ATTRIKIT_")}
        own |= settings.as_environment()
        own |= self._environment.get(name, {})
        argv = [sys.executable, "-P", "-m", "deploy.cli", *REPLICAS.get(name, (name,))]
        return ChildProcess(name, argv, folder / "logs" / f"{name}.log", environment=own)

    def port(self, name: str) -> int:
        return int(self.urls[name].rsplit(":", 1)[1])

    def data_dir(self, name: str) -> Path:
        """Return the folder where a process keeps its files."""
        return self.settings.data_dir / SECOND_WORKER if name == SECOND_WORKER else self.settings.data_dir

    def start(self, *names: str) -> None:
        """Start them together and return when all are ready."""
        self.launch(*names)
        self.wait_ready(*names)

    def launch(self, *names: str) -> None:
        """Start them; call from the main thread (see `ChildProcess.start`)."""
        for name in names:
            self.processes[name].start()

    def wait_ready(self, *names: str) -> None:
        for name in names:
            self.processes[name].wait_until(lambda name=name: self.is_ready(name), _READY_SECONDS)

    async def supervise(
        self, names: Iterable[str], away: Collection[str] = (), ends: Counter[str] | None = None
    ) -> None:
        """Start those of `names` again that end by themselves, as a container's restart policy does, and leave those
        that are `away`. `ends` counts them, with their exit codes; the last lines they wrote are printed.
        """
        while True:
            await asyncio.sleep(_SUPERVISE_SECONDS)
            for name in set(names) - set(away):
                process = self.processes[name]
                if not process.is_running:
                    print(f"{name} ended with {process.exit_code}", *process.log_tail(), sep="\n  ", flush=True)
                    if ends is not None:
                        ends[f"{name}: {process.exit_code}"] += 1
                    self.launch(name)

    @asynccontextmanager
    async def supervised(self, *names: str) -> AsyncIterator[None]:
        """`supervise` these while the context lasts."""
        supervisor = asyncio.create_task(self.supervise(names))
        try:
            yield
        finally:
            await cancel(supervisor)

    async def settle(self, timeout_seconds: float) -> None:
        """Wait until everything accepted can be read. Raises `AssertionError`, which says where it stands still and
        what each process wrote last.
        """
        try:
            async with open_reader(self.settings) as reader:
                await wait_until_settled(reader, timeout_seconds)
        except TimeoutError as error:
            raise AssertionError("\n".join([str(error), *map(self._last_lines, self.processes)])) from error

    def _last_lines(self, name: str) -> str:
        process = self.processes[name]
        state = "runs" if process.is_running else f"ended with {process.exit_code}"
        return "\n  ".join([f"{name} {state}; it wrote", *process.log_tail()])

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self.processes[name].is_running, self.processes[name].log_tail()
        assert self.processes[name].kill() == -9

    def stop(self) -> None:
        for name in (*REPLICAS, *SERVICES):
            self.processes[name].stop(_STOP_SECONDS)

    def get(self, path: str, **parameters: str) -> Any:
        """`data` of a read, asked of the store directly."""
        headers = {"Authorization": f"Bearer {self.key}"}
        url = self.urls["store"] + path
        response = httpx.get(url, params=parameters, headers=headers, trust_env=False, timeout=30.0)
        response.raise_for_status()
        return response.json()["data"]

    def is_ready(self, name: str) -> bool:
        try:
            return httpx.get(self.urls[name] + "/readyz", trust_env=False, timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False


def demo_key(settings: Settings) -> str:
    """A key of the demo app that reads and writes; app and key are made if need be."""
    dsn = settings.control_plane_dsn()
    migrate_control_plane(dsn)
    store = ControlPlane(dsn)
    try:
        return ensure_demo_key(store, Path(dsn.removeprefix("sqlite:///")).with_name("demo-key"), now_ms=1)[0]
    finally:
        store.close()
