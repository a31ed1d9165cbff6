"""The settings read from the environment, with a message for each variable that is wrong or unknown."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final, TypeVar

from pydantic import ValidationError

from pipeline.runtime.settings import PREFIX, ProcessSettings, Settings

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
    if problems:
        raise BadEnvironment(problems)
    try:
        return kind()
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
    """Return the names of the environment variables that are settings."""
    return frozenset(PREFIX + name.upper() for name in Settings.model_fields)


def _is_other(name: str, value: str) -> bool:
    is_link = bool(_SERVICE_LINK.search(name)) or (name.endswith("_PORT") and value.startswith(("tcp://", "udp://")))
    return name in OTHER_VARIABLES or name.startswith(OTHER_PREFIXES) or is_link


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, [*known, *OTHER_VARIABLES], n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ", see .env.example"


def _problem(place: tuple[int | str, ...], message: str) -> str:
    return f"{PREFIX}{str(place[0]).upper()}: {message.removeprefix('Value error, ')}"
