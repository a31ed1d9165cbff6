"""`attrikit ledger` and `attrikit doctor`: commands for operators of the platform."""

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.arguments import moment_ms

if TYPE_CHECKING:
    from pipeline.runtime.settings import Settings

_JSON = Annotated[bool, typer.Option("--json", help="For machines.")]


def ledger(
    app_id: Annotated[str | None, typer.Option("--app", help="Show this app only; all are compared.")] = None,
    since: Annotated[str | None, typer.Option(help="Compare what was received from here on.")] = None,
    through: Annotated[
        str | None, typer.Option(help="Compare what was received before: 2024-01-15T10:00Z.  [default: now]")
    ] = None,
    timeout_seconds: Annotated[float, typer.Option(min=0.0, help="How long to wait until all of it is loaded.")] = 60.0,
    as_json: _JSON = False,
) -> None:
    """Check that accepted = stored + duplicates, per app and hour. Exits 1, naming where, if it does not hold."""
    since_ms = 0 if since is None else moment_ms(since, "--since")
    through_ms = None if through is None else moment_ms(through, "--through")
    settings = _settings()
    from deploy.ledger.command import Wanted, run

    raise typer.Exit(run(settings, app_id, Wanted(since_ms, through_ms), timeout_seconds, as_json))


def doctor(as_json: _JSON = False) -> None:
    """Report what is wrong or soon will be, and what helps. Exits 1 if something is wrong."""
    settings = _settings()
    from deploy.doctor.command import run

    raise typer.Exit(run(settings, as_json))


def _settings() -> "Settings":
    """Return the settings of the run in this data folder. The tables are read through another process if one is
    named.
    """
    from deploy.cli.environment import Kept, command_settings, exit_without_folder
    from deploy.local.running import with_running

    settings = with_running(command_settings())
    if not (settings.query_url and settings.operator_token):
        exit_without_folder(settings, Kept.TABLES)
    return settings
