"""Programs that the checks of `deploy/` need: on the PATH, or put into `.tools` by `tests/deploy/install_tools.sh`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = f"{ROOT / '.tools' / 'bin'}:{os.environ['PATH']}"


def tool(
    name: str,
    *arguments: object,
    cwd: Path = ROOT,
    environment: dict[str, str] | None = None,
    seconds: float = 300,
    stdin: str | None = None,
) -> str:
    """Run a program and return what it prints; skip the test where it is not installed.

    Fails the test, with what the program said, on another exit code than 0.
    """
    path = shutil.which(name, path=PATH)
    if path is None:
        pytest.skip(f"{name} is not installed (tests/deploy/install_tools.sh)")
    command = [path, *map(str, arguments)]
    given = os.environ | {"PATH": PATH} | (environment or {})
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=seconds, env=given, input=stdin)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout
