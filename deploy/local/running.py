"""Settings of a running `attrikit up`, written to a file for the commands that connect to its processes.

The broker and the read API listen on ports that differ from run to run. What is set in the environment goes before.
"""

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from pipeline.runtime.settings import Settings

_NAMES: Final = ("kafka_bootstrap", "query_url", "operator_token", "partitions", "port", "worker_port", "console_url")


def _path(data_dir: Path) -> Path:
    return data_dir / "running.json"


def note_running(settings: Settings) -> None:
    """Write the settings of the running processes. The file holds the operators' token, so only its owner may read
    it.
    """
    path = _path(settings.data_dir)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        values = {name: getattr(settings, name) for name in _NAMES}
        json.dump({"pid": os.getpid()} | values, file, default=SecretStr.get_secret_value)


def note_stopped(data_dir: Path) -> None:
    _path(data_dir).unlink(missing_ok=True)


def new_token() -> str:
    """Make the operators' token of this run."""
    return "op_" + secrets.token_urlsafe(24)


def with_running(settings: Settings) -> Settings:
    """Return the settings, completed by those of the run that has this data folder where the environment does not give
    its own.
    """
    found: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        found = json.loads(_path(settings.data_dir).read_text())
    if not found or not _is_alive(found.get("pid")):
        return settings
    found["operator_token"] = SecretStr(found.get("operator_token", ""))
    missing = [name for name in _NAMES if name in found and name not in settings.model_fields_set]
    return settings.model_copy(update={name: found[name] for name in missing})


def _is_alive(pid: object) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
