"""Start of every command: read the settings, set up logging, check that the data folder exists."""

import logging
import os
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from pipeline.runtime.connection_settings import ProcessSettings
    from pipeline.runtime.settings import Settings

S = TypeVar("S", bound="ProcessSettings")


class Kept(StrEnum):
    """Data kept in the data folder by default: each member's value is the setting that names another place for it."""

    CONTROL_PLANE = "control_plane_url"
    TABLES = "clickhouse_url"
    WEBHOOK_KEY = "webhook_key"


def load_settings(process: str, kind: type[S], *needs: Kept) -> S:
    """Read the settings of a process from the environment, those of its kind, and set up its log.

    Exits 2, naming what is wrong; exits 1 if what is needed lies in a data folder that is not there: to make an empty
    one would answer a question about another installation.
    """
    from pipeline.runtime.log import configure_logging

    settings = _read_settings(kind, *needs)
    configure_logging(process, settings.log_level)
    return settings


def command_settings(*needs: Kept) -> "Settings":
    """Read the settings for a command that runs once, without its clients' log of every attempt: the command reports
    errors itself.
    """
    from pipeline.runtime.settings import Settings

    settings = load_settings("command", Settings, *needs)
    for client in ("aiokafka", "clickhouse_connect"):
        logging.getLogger(client).setLevel(logging.CRITICAL)
    return settings


def _read_settings(kind: type[S], *needs: Kept) -> S:
    from pipeline.runtime.environment import BadEnvironment, read_settings

    try:
        settings = read_settings(kind, os.environ)
    except BadEnvironment as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        raise typer.Exit(2) from None
    exit_without_folder(settings, *needs)
    return settings


def refuse_unknown_variables() -> None:
    """Exit 2 if the environment holds an unknown `ATTRIKIT_…` setting: misspelled, it would have had no effect."""
    if not any(name.upper().startswith("ATTRIKIT_") for name in os.environ):
        return
    from pipeline.runtime.environment import unknown_variables

    problems = unknown_variables(os.environ)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(2)


def exit_without_folder(settings: "ProcessSettings", *needs: Kept) -> None:
    missing = missing_folder(settings, *needs)
    if missing:
        typer.echo(missing, err=True)
        raise typer.Exit(1)


def missing_folder(settings: "ProcessSettings", *needs: Kept) -> str:
    """Return the error message for a missing data folder; empty if it exists or the command does not need it."""
    if settings.data_dir.is_dir() or all(getattr(settings, need) for need in needs):
        return ""
    return (
        f"there is no data folder {settings.data_dir} here: ATTRIKIT_DATA_DIR names another; "
        "`attrikit up` or `attrikit migrate` begins a new one"
    )
