"""The documents of all settings, made from the models that read them: SETTINGS.md and .env.example. Pure.

`attrikit settings` prints them; a test keeps the files of the repository up to date.
"""

import re
import textwrap
from inspect import get_annotations
from typing import Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from pipeline.runtime import settings as models
from pipeline.runtime.connection_settings import PREFIX, ProcessSettings
from pipeline.runtime.environment import file_variable
from pipeline.runtime.settings import Settings

PROCESSES: Final[dict[str, type[ProcessSettings]]] = {
    "gateway": models.GatewaySettings,
    "worker": models.WorkerSettings,
    "loader": models.LoaderSettings,
    "query": models.QuerySettings,
    "alerts serve": models.AlertsSettings,
    "webhooks serve": models.WebhooksSettings,
    "store": models.StoreSettings,
    "console": models.ConsoleSettings,
}
"""Command of each process and what it reads. `up` and the commands for operators read all settings."""
_WIDTH: Final = 120
_HEAD: Final = """# Settings

Environment variables of the processes, with their defaults. A process reads only its own, and refuses a variable that
is a setting of none. This page is made by `attrikit settings`, the file `.env.example` by `attrikit settings --env`.

- **Secret**: no log or error shows it. It can lie in a file instead, named by the variable with `_FILE` at its end
  (`ATTRIKIT_KAFKA_PASSWORD_FILE=/run/secrets/kafka-password`); a line's end there is not part of it.
- `attrikit up` and the commands for operators read all of them.
"""
_ENV_HEAD: Final = (
    "Every setting with its default, made by `attrikit settings --env`; SETTINGS.md says which process reads which. "
    "Copy what you change into the environment of the processes (`set -a; . ./.env`, `env_file:` of compose). A secret "
    "can lie in a file instead: ATTRIKIT_KAFKA_PASSWORD_FILE=/run/secrets/…"
)


def document() -> str:
    """Return SETTINGS.md: which process reads which part, and the settings of each part."""
    rows = [
        f"| `attrikit {command}` | {', '.join(_link(part) for part in parts() if issubclass(kind, part))} |"
        for command, kind in PROCESSES.items()
    ]
    sections = [_section(part) for part in parts()]
    return "\n".join([_HEAD, "| process | reads |", "|---|---|", *rows, "", "\n".join(sections)])


def env_file() -> str:
    """Return .env.example."""
    lines = _comment(_ENV_HEAD)
    for part in parts():
        lines += ["", *_comment(f"{_title(part)}: {_readers(part)}")]
        for name, field in _own_fields(part).items():
            lines += [*_comment(_plain(field)), f"{PREFIX}{name.upper()}={_default(field)}"]
    return "\n".join(lines) + "\n"


def parts() -> list[type[ProcessSettings]]:
    """Return the models that add settings of their own, the most general first."""
    kinds = [kind for kind in reversed(Settings.__mro__) if issubclass(kind, ProcessSettings)]
    return [kind for kind in kinds if _own_fields(kind)]


def _own_fields(kind: type[ProcessSettings]) -> dict[str, FieldInfo]:
    own = get_annotations(kind)
    return {name: field for name, field in Settings.model_fields.items() if name in own}


def _section(part: type[ProcessSettings]) -> str:
    head = f"## {_title(part)}\nRead by {_readers(part)}.\n\n| variable | default | |\n|---|---|---|\n"
    return head + "".join(_row(name, field) for name, field in _own_fields(part).items())


def _row(name: str, field: FieldInfo) -> str:
    default = f"`{_default(field)}`" if _default(field) else ""
    secret = f"**Secret** (`{file_variable(name)}`). " if field.annotation is SecretStr else ""
    return f"| `{PREFIX}{name.upper()}` | {default} | {secret}{_plain(field).replace('|', chr(92) + '|')} |\n"


def _title(part: type[ProcessSettings]) -> str:
    return re.split("[.:]", part.__doc__ or part.__name__)[0].strip()


def _link(part: type[ProcessSettings]) -> str:
    anchor = "".join(c for c in _title(part).lower().replace(" ", "-") if c.isalnum() or c == "-")
    return f"[{_title(part)}](#{anchor})"


def _readers(part: type[ProcessSettings]) -> str:
    readers = [command for command, kind in PROCESSES.items() if issubclass(kind, part)]
    return "every process" if len(readers) == len(PROCESSES) else ", ".join(f"`{command}`" for command in readers)


def _plain(field: FieldInfo) -> str:
    """Return the description in one line, with the variables of the settings it names."""
    text = " ".join((field.description or "").split())
    return re.sub(r"`(\w+)`", lambda found: _variable(found[1]), text)


def _variable(name: str) -> str:
    return f"`{PREFIX}{name.upper()}`" if name in Settings.model_fields else f"`{name}`"


def _default(field: FieldInfo) -> str:
    return str(field.get_default(call_default_factory=True))


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
