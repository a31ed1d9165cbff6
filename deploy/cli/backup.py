"""`attrikit backup` and `attrikit restore`."""

from typing import Annotated

import typer

_PLACE = Annotated[str, typer.Argument(help="s3://bucket/prefix (the usual AWS_… variables), or a folder.")]


def backup(
    place: _PLACE,
    disk: Annotated[str, typer.Option(help="Disk of the ClickHouse server that takes the tables instead.")] = "",
    full_every_days: Annotated[
        float, typer.Option(min=0.0, help="Keep all rows again after so long; until then what is new.")
    ] = 7.0,
) -> None:
    """Keep the tables, the control plane and, of `attrikit up`, the whole data folder: stop that first."""
    from deploy.cli.environment import Kept, command_settings

    settings = command_settings(Kept.CONTROL_PLANE, Kept.TABLES)
    import asyncio

    from deploy.backup.command import backup as run
    from deploy.backup.place import Place

    made = asyncio.run(run(settings, Place.of(place), disk, full_every_days, typer.echo))
    typer.echo(f"backup {made.name} is complete")


def restore(
    place: _PLACE,
    name: Annotated[str, typer.Option(help="Which one.  [default: the last]")] = "",
    check: Annotated[bool, typer.Option("--check", help="Change nothing; compare the tables with the backup.")] = False,
) -> None:
    """Bring a backup back into an installation that holds nothing yet. Exits 1 if the tables have less than it."""
    from deploy.cli.environment import Kept, command_settings, exit_without_folder

    settings = command_settings()
    if check:
        exit_without_folder(settings, Kept.TABLES)
    import asyncio

    from deploy.backup import command
    from deploy.backup.place import Place

    run = command.check if check else command.restore
    lacking = asyncio.run(run(settings, Place.of(place), name, typer.echo))
    for line in lacking:
        typer.echo(line, err=True)
    if lacking:
        raise typer.Exit(1)
    typer.echo("nothing of the backup is missing")
