"""`attrikit copy-tables`."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.runtime.settings import Settings

EMBEDDED = "embedded"


def copy_tables(
    source: Annotated[
        str,
        typer.Option(
            "--from",
            envvar="SOURCE_CLICKHOUSE_URL",
            help="URL of the ClickHouse to copy, with its database, or `embedded`: chDB in the data folder.",
        ),
    ],
    check: Annotated[bool, typer.Option("--check", help="Change nothing; compare the tables.")] = False,
) -> None:
    """Copy the tables of another ClickHouse into the empty ones of the settings, a cluster's too, and compare them.

    Stopped anywhere, it goes on when it is run again. Exits 1 if the tables differ in the end.
    """
    from deploy.cli.environment import command_settings

    settings = command_settings()
    from deploy.processes import copy_or_compare

    lines = copy_or_compare(_of_source(settings, source), settings, check, typer.echo)
    for line in lines:
        typer.echo(line, err=True)
    if lines:
        raise typer.Exit(1)
    typer.echo("both say the same")


def _of_source(settings: "Settings", source: str) -> "Settings":
    """Return the settings with the source's ClickHouse, which is no cluster."""
    from pydantic import SecretStr

    from deploy.cli.environment import Kept, exit_without_folder
    from pipeline.runtime.setting_checks import check_hosts

    url = "" if source == EMBEDDED else source
    try:
        check_hosts(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--from") from None
    changed = {"clickhouse_url": SecretStr(url), "clickhouse_cluster": "", "clickhouse_sharded": False}
    of_source = settings.model_copy(update=changed)
    exit_without_folder(of_source, Kept.TABLES)
    return of_source
