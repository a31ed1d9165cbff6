import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
import stream_traffic
from stream_worker import create_control_plane, worker_process

from deploy.local.broker import NoidaBroker
from deploy.local.process import ChildProcess
from pipeline.runtime.settings import Settings


@dataclass
class Site:
    """A broker of its own (the topics' names are fixed), a control plane, and workers on them."""

    settings: Settings
    broker: NoidaBroker
    log_path: Path
    started: list[ChildProcess]

    def start_worker(self) -> ChildProcess:
        worker = worker_process(self.settings, self.log_path)
        worker.start()
        self.started.append(worker)
        return worker

    @property
    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    async def lose_three_workers(self, random: Random, longest_seconds: float) -> None:
        """One after another, each at a random instant of its work, not one we chose. The second loses its disk too."""
        for loses_disk in (False, True, False):
            taken = self.log.count("partition_taken")
            worker = self.start_worker()
            async with asyncio.timeout(30):
                while self.log.count("partition_taken") < taken + self.settings.partitions:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(random.random() * longest_seconds)
            worker.kill()
            if loses_disk:
                shutil.rmtree(self.settings.data_dir / "stream")


@pytest.fixture
def make_site(tmp_path: Path, make_settings: Callable[..., Settings]) -> Iterator[Callable[..., Site]]:
    brokers: list[NoidaBroker] = []
    sites: list[Site] = []

    def make(**given: object) -> Site:
        folder = tmp_path / f"site-{len(sites)}"
        broker = NoidaBroker(folder / "broker", folder / "broker.log")
        brokers.append(broker)
        broker.start()
        # No idle time: where a slow machine lets seconds pass, the watermark must not.
        fixed = {"data_dir": folder / "data", "kafka_bootstrap": broker.bootstrap, "idle_seconds": 600}
        settings = make_settings(**(fixed | given))
        create_control_plane(settings, stream_traffic.App("demo", "Demo"))
        site = Site(settings, broker, folder / "worker.log", [])
        sites.append(site)
        return site

    yield make
    for site in sites:
        for worker in site.started:
            worker.kill()
    for broker in brokers:
        broker.kill()
