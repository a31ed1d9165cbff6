"""The Makefile's own decisions: how `.venv` is made, and that one which is there is never lost."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[3] / "Makefile"
PYTHON = """#!/bin/sh
[ "$1 $2" = "-m venv" ] || exit 0
{made}
"""
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


def make(folder: Path, made: str) -> subprocess.CompletedProcess[str]:
    """`make .venv/bin/python` with an interpreter that does `made` where it is asked for a virtual environment."""
    shutil.copy(MAKEFILE, folder / "Makefile")
    python = folder / "some-python"
    python.write_text(PYTHON.format(made=made))
    python.chmod(0o755)
    command = ["make", ".venv/bin/python", f"PYTHON={python}"]
    # A make that runs the tests hands its own variables on, such as VENV=….
    own = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "VENV")}
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=60)


def test_a_virtual_environment_that_lost_its_interpreter_survives_a_failed_repair(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/nowhere/python3.11")
    (tmp_path / ".venv" / "mine").write_text("kept")
    done = make(tmp_path, "mkdir -p .venv/half; exit 1")
    assert done.returncode != 0
    assert (tmp_path / ".venv" / "mine").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".venv", "Makefile", "some-python"]
    assert not (tmp_path / ".venv" / "half").exists()


def test_a_repaired_one_has_nothing_installed_as_its_stamps_say(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/nowhere/python3.11")
    for stamp in (".runtime", ".dev"):
        (tmp_path / ".venv" / stamp).touch()
    done = make(tmp_path, "mkdir -p .venv/bin; touch .venv/bin/python")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / ".venv").iterdir()] == ["bin"]
    assert not (tmp_path / ".venv.before").exists()
