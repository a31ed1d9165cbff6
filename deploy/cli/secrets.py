"""`attrikit secrets`: the secrets of a new installation, made once."""

import os
import secrets as random
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.new_secrets import env_file, kubernetes_manifest, new_values

secrets = typer.Typer(help="Secrets of a new installation.", no_args_is_help=True)


class Format(StrEnum):
    ENV = "env"
    KUBERNETES = "kubernetes"


@secrets.command("init")
def init(
    kind: Annotated[Format, typer.Option("--format", help="For compose (env), or a Secret (kubernetes).")] = Format.ENV,
    name: Annotated[str, typer.Option(help="The Secret's, and of the chart's release.")] = "attrikit",
    output: Annotated[Path | None, typer.Option(help="File to make, readable by its owner only.")] = None,
) -> None:
    """Make the secrets of an installation and print them. A file that exists is never overwritten."""
    values = new_values(random.token_bytes)
    text = env_file(values) if kind is Format.ENV else kubernetes_manifest(values, name)
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        typer.echo(f"{output} is there already: its secrets are in use, and stay as they are", err=True)
        raise typer.Exit(1) from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    typer.echo(f"{output} has the secrets; keep a copy where the data's backups are")
