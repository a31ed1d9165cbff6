"""`attrikit users`: see who may log in to the console, and let somebody in who cannot."""

from typing import Annotated

import typer

from deploy.cli.environment import Kept, command_settings

users = typer.Typer(help="Users of the console.", no_args_is_help=True)


@users.command("list")
def list_users() -> None:
    """List every user: login, role, state, name, apps."""
    from pipeline.control import prepare_control_plane
    from pipeline.control.users import Users

    settings = command_settings(Kept.CONTROL_PLANE)
    prepare_control_plane(settings)
    store = Users(settings.control_plane_dsn())
    for user in store.users():
        state = "active" if user.is_active else "inactive"
        typer.echo("\t".join((user.login, user.role, state, user.display_name, ",".join(sorted(user.app_ids)))))


@users.command("link")
def link(login: Annotated[str, typer.Argument(help="As `users list` shows it.")]) -> None:
    """Print a link by which the user sets a new password. It works once, for a day; the old password goes on until
    then."""
    from deploy.local.first_admin import new_link
    from deploy.local.running import with_running
    from pipeline.control import prepare_control_plane
    from pipeline.control.users import Users
    from pipeline.runtime.clock import now_ms

    settings = with_running(command_settings(Kept.CONTROL_PLANE))
    prepare_control_plane(settings)
    typer.echo(new_link(Users(settings.control_plane_dsn()), login, settings.console_url, now_ms()))
