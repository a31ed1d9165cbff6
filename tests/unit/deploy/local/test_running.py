"""A command beside a running product finds its processes; what its own environment says goes first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.running import note_running, note_stopped, with_running
from pipeline.runtime.settings import Settings


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a run, which other commands read from its folder as long as it lives."""
    for name in [name for name in os.environ if name.startswith("ATTRIKIT_")]:
        monkeypatch.delenv(name)
    settings = Settings(data_dir=tmp_path, kafka_bootstrap="127.0.0.1:7001", partitions=7, operator_token="op_run")
    note_running(settings)
    return settings


def test_the_run_is_found_by_its_folder(running: Settings) -> None:
    found = with_running(Settings(data_dir=running.data_dir))
    assert (found.kafka_bootstrap, found.partitions) == ("127.0.0.1:7001", 7)
    assert found.operator_token.get_secret_value() == "op_run"


def test_the_environment_goes_first(running: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTRIKIT_KAFKA_BOOTSTRAP", "kafka:9092")
    found = with_running(Settings(data_dir=running.data_dir))
    assert (found.kafka_bootstrap, found.partitions) == ("kafka:9092", 7)


def test_a_run_that_is_over_is_not_found(running: Settings) -> None:
    given = Settings(data_dir=running.data_dir)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    file = running.data_dir / "running.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pid": ended.pid}))
    assert with_running(given) == given
    note_running(running)
    note_stopped(running.data_dir)
    assert with_running(given) == given


def test_only_its_owner_may_read_the_operators_token(running: Settings) -> None:
    assert (running.data_dir / "running.json").stat().st_mode & 0o077 == 0
