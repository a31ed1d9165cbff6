"""`attrikit demo` as a person runs it: it adds up, and it leaves nothing behind, finished or interrupted."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

DEMO = [sys.executable, "-m", "deploy.cli", "demo", "--events"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Its temporary folders are made in ours; settings around it must not reach the product."""
    return os.environ | {"TMPDIR": str(tmp_path), "ATTRIKIT_PARTITIONS": "7", "ATTRIKIT_KAFKA_BOOTSTRAP": "nowhere:1"}


def left_over(folder: Path) -> list[str]:
    """Processes that have something to do with that folder, by their command or by their settings."""
    return [f"{process.pid} {process.name()}" for process in psutil.process_iter() if is_in(folder, process)]


def is_in(folder: Path, process: psutil.Process) -> bool:
    try:
        told = [*process.cmdline(), process.environ().get("ATTRIKIT_DATA_DIR", "")]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return any(str(folder) in text for text in told)


def test_it_adds_up(environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run([*DEMO, "1500"], env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "everything adds up" in done.stdout
    assert re.search(r"^  ok  accepted = stored \+ duplicates$", done.stdout, re.MULTILINE)
    assert all(model in done.stdout for model in ("linear", "position", "decay"))
    assert not re.search(r"^  NO ", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []
    assert left_over(tmp_path) == []


def test_kept_it_runs_on_with_its_data_until_it_is_ended(environment: dict[str, str], tmp_path: Path) -> None:
    demo = subprocess.Popen([*DEMO, "1500", "--keep"], env=environment, stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    printed = []
    for line in demo.stdout:
        printed.append(line)
        if line == "ready\n":
            break
    told = dict(line.split(None, 1) for line in printed if line.split(None, 1)[1:])
    headers = {"Authorization": f"Bearer {told['key'].strip()}"}
    report = httpx.get(told["a"].rsplit(" ", 1)[1].strip(), headers=headers, trust_env=False, timeout=30.0)
    assert report.json()["data"]["totals"]["touches"] > 0
    demo.send_signal(signal.SIGINT)
    demo.stdout.read()
    assert demo.wait(90) == 0
    assert left_over(tmp_path) == []
    data = Path(told["data"].strip())
    assert data.is_relative_to(tmp_path)
    assert (data / "clickhouse").is_dir()


def test_interrupted_it_cleans_up(environment: dict[str, str], tmp_path: Path) -> None:
    demo = subprocess.Popen([*DEMO, "50000"], env=environment, stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("posted"):
            break
    assert len(left_over(tmp_path)) >= 5, "launcher, broker and three services"
    demo.send_signal(signal.SIGINT)
    demo.stdout.read()
    assert demo.wait(60) == 128 + signal.SIGINT
    assert list(tmp_path.iterdir()) == []
    assert left_over(tmp_path) == []
