"""The settings read from the environment, with a message for each variable that is wrong or unknown."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import SecretStr, ValidationError

from pipeline.runtime.connection_settings import PREFIX, ProcessSettings
from pipeline.runtime.settings import Settings

FILE_SUFFIX: Final = "_FILE"
S = TypeVar("S", bound=ProcessSettings)
OTHER_VARIABLES: Final = frozenset({"ATTRIKIT_API_URL", "ATTRIKIT_API_KEY", "ATTRIKIT_ACCESS_LOG"})
"""Variables that are no settings: two options of the command line, and a file that tests may read."""
OTHER_PREFIXES: Final = ("ATTRIKIT_TEST_", "ATTRIKIT_BENCH_")
_SERVICE_LINK: Final = re.compile(r"_SERVICE_HOST\Z|_SERVICE_PORT(_\w+)?\Z|_PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?\Z")
"""Variables that Kubernetes adds to every pod for each service of its namespace, a service called `attrikit-gateway`
say.
"""


class BadEnvironment(Exception):
    """`problems`: one line each, for the person who set the variables."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_settings(kind: type[S], environment: Mapping[str, str]) -> S:
    """Read the settings of a process, those of its kind. `environment`: `os.environ`, looked through for names that are
    settings of no process.

    Raises `BadEnvironment`.
    """
    problems = unknown_variables(environment)
    secrets: dict[str, Any] = {}
    for name in sorted(secret_settings(kind)):
        try:
            secrets |= _secret_from_file(name, environment)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise BadEnvironment(problems)
    try:
        return kind(**secrets)
    except ValidationError as error:
        raise BadEnvironment([_problem(found["loc"], found["msg"]) for found in error.errors()]) from None


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return one line for each variable that begins like a setting and is none, with the nearest name there is
    (pure).
    """
    known = setting_names()
    return [
        f"{name}: no such setting{_suggestion(name.upper(), known)}"
        for name, value in sorted(environment.items())
        if name.upper().startswith(PREFIX) and name.upper() not in known and not _is_other(name.upper(), value)
    ]


def setting_names() -> frozenset[str]:
    """Return the names of the environment variables that are settings, with the `…_FILE` of each secret."""
    files = (file_variable(name) for name in secret_settings())
    return frozenset((*(PREFIX + name.upper() for name in Settings.model_fields), *files))


def secret_settings(kind: type[ProcessSettings] = Settings) -> frozenset[str]:
    """Return the settings that are secrets, or URLs that may hold one."""
    return frozenset(name for name, field in kind.model_fields.items() if field.annotation is SecretStr)


def file_variable(name: str) -> str:
    """Return the variable that names a file with the value of a secret setting."""
    return f"{PREFIX}{name.upper()}{FILE_SUFFIX}"


def _secret_from_file(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Read one secret setting from the file named for it; empty if none is. Raises `ValueError` with what is wrong."""
    variable = file_variable(name)
    given = {key.upper(): value for key, value in environment.items()}
    if not given.get(variable):
        return {}
    if given.get(PREFIX + name.upper()):
        raise ValueError(f"{variable}: {PREFIX}{name.upper()} is set too; set one of them")
    try:
        return {name: Path(given[variable]).read_text().rstrip("\r\n")}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"{variable}: {given[variable]} cannot be read: {reason}") from None


def _is_other(name: str, value: str) -> bool:
    is_link = bool(_SERVICE_LINK.search(name)) or (name.endswith("_PORT") and value.startswith(("tcp://", "udp://")))
    return name in OTHER_VARIABLES or name.startswith(OTHER_PREFIXES) or is_link


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, [*known, *OTHER_VARIABLES], n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ", see SETTINGS.md"


def _problem(place: tuple[int | str, ...], message: str) -> str:
    name = f"{str(place[0]).upper()}: " if place else ""  # a rule about several settings names them itself
    return f"{PREFIX}{name}{message.removeprefix('Value error, ')}"
