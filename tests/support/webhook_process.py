"""The dispatcher as a process of its own, to be killed and started again."""

import os
import sys

import httpx

from deploy.local.ports import free_port
from deploy.local.process import ChildProcess
from pipeline.runtime.settings import Settings

_READY_SECONDS = 60.0


class DispatcherProcess:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(update={"webhooks_port": free_port()})
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ATTRIKIT_")}
        environment |= self._settings.as_environment()
        argv = [sys.executable, "-P", "-m", "deploy.cli", "webhooks", "serve"]
        self.child = ChildProcess("webhooks", argv, settings.data_dir / "webhooks.log", environment=environment)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._settings.webhooks_port}"

    def launch(self) -> None:
        """From the main thread (see `ChildProcess.start`)."""
        self.child.start()

    def wait_ready(self) -> None:
        self.child.wait_until(self._is_ready, _READY_SECONDS)

    def kill(self) -> None:
        assert self.child.is_running, self.child.log_tail()
        assert self.child.kill() == -9

    def stop(self) -> None:
        self.child.stop(30.0)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(self.url + "/readyz", trust_env=False, timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False
