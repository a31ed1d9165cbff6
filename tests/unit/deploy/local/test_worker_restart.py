"""`attrikit up` and a worker that ends: by design, too often, or by something else."""

from types import SimpleNamespace
from typing import Any

import pytest

from deploy.local import launcher as module
from deploy.local.launcher import WORKER_RESTARTS, BrokerKind, Launcher
from deploy.local.process import ChildEnded
from pipeline.runtime.settings import Settings
from pipeline.stream.fatal import EXIT_FATAL


class Worker(SimpleNamespace):
    """A child that has ended."""

    exit_code: int | None = WORKER_RESTARTS
    starts = 0

    @property
    def is_running(self) -> bool:
        return self.exit_code is None

    def start(self) -> None:
        self.starts += 1
        self.exit_code = None


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Any:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "monotonic_seconds", lambda: clock.now)
    said: list[str] = []
    launcher, worker = Launcher(Settings(), BrokerKind.NOIDA, said.append), Worker(name="worker")
    launcher._services["worker"] = worker
    return SimpleNamespace(launcher=launcher, worker=worker, said=said, clock=clock)


def turn(scene: Any) -> None:
    scene.launcher._restart_worker()
    scene.launcher._check_children()


def test_the_launcher_knows_the_workers_code() -> None:
    assert WORKER_RESTARTS == EXIT_FATAL


def test_a_worker_that_ends_by_design_is_started_again_after_a_while(scene: Any) -> None:
    turn(scene)
    assert scene.said == ["the worker ended to go on from the log; starting it again in 1 s"]
    scene.clock.now = 0.9
    turn(scene)
    assert scene.worker.starts == 0
    scene.clock.now = 1.1
    turn(scene)
    assert (scene.worker.starts, len(scene.said)) == (1, 1)
    turn(scene)


def test_not_for_ever(scene: Any) -> None:
    for _ in range(5):
        turn(scene)
        scene.clock.now += 40
        turn(scene)
        scene.worker.exit_code = WORKER_RESTARTS
    assert scene.worker.starts == 5
    with pytest.raises(ChildEnded):
        turn(scene)


def test_any_other_end_ends_all(scene: Any) -> None:
    scene.worker.exit_code = 1
    with pytest.raises(ChildEnded):
        turn(scene)
