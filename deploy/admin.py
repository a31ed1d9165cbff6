"""`attrikit apps` and `attrikit keys`: the control plane from the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.control import App, Plan, Scope

if TYPE_CHECKING:
    from pipeline.runtime.control_plane import ControlPlane

apps = typer.Typer(help="Apps: whose events are kept apart.", no_args_is_help=True)
keys = typer.Typer(help="API keys: who may report and read.", no_args_is_help=True)

_AppOption = Annotated[str, typer.Option("--app", help="The app's id.")]


@apps.command("create")
def create_app(
    app_id: Annotated[str, typer.Argument(help="Lower-case letters, digits, _ and -. It can never change.")],
    name: Annotated[str, typer.Option(help="For people; the id if left out.")] = "",
    plan: Annotated[Plan, typer.Option(help="Limits the requests a day.")] = Plan.ENTERPRISE,
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "CNY",
    timezone: Annotated[str, typer.Option(help="IANA name: where the app's days begin.")] = "Asia/Shanghai",
    history_limit_days: Annotated[int, typer.Option(help="Older events are refused.")] = 400,
) -> None:
    """Create an app with the default goals."""
    app = App(app_id, name or app_id, plan, currency, timezone, history_limit_days)
    with _control_plane() as (store, now_ms):
        store.create_app(app, now_ms)
    typer.echo(f"created app {app_id}")


@apps.command("list")
def list_apps() -> None:
    """Every app: id, plan, currency, time zone, goals, name."""
    with _control_plane() as (store, _):
        for app in store.apps():
            goals = ",".join(goal.name for goal in app.goals)
            typer.echo("\t".join((app.app_id, app.plan, app.currency, app.timezone, goals, app.name)))


@keys.command("create")
def create_key(
    app_id: _AppOption,
    scope: Annotated[list[Scope] | None, typer.Option(help="Repeatable; both if left out.")] = None,
    test: Annotated[bool, typer.Option("--test", help="An ak_test_ key.")] = False,
) -> None:
    """Make a key and print it, alone, on standard output. It is shown this once: only its hash is kept."""
    with _control_plane() as (store, now_ms):
        new = store.create_key(app_id, scope or list(Scope), now_ms, is_test=test)
    typer.echo(f"created {new.key_id}; keep the key, it is not shown again", err=True)
    typer.echo(new.secret)


@keys.command("list")
def list_keys(app_id: Annotated[str | None, typer.Option("--app", help="Of this app only.")] = None) -> None:
    """Every key: id, app, how it begins, scopes, state."""
    with _control_plane() as (store, _):
        for key in store.keys(app_id):
            state = "active" if key.revoked_at_ms is None else "revoked"
            scopes = ",".join(sorted(key.scopes))
            typer.echo("\t".join((key.key_id, key.app_id, key.prefix + "…", scopes, state)))


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Refuse a key from now on (every process learns of it within seconds)."""
    with _control_plane() as (store, now_ms):
        store.revoke_key(key_id, now_ms)
    typer.echo(f"revoked {key_id}")


@contextmanager
def _control_plane() -> Iterator[tuple["ControlPlane", int]]:
    """The migrated control plane and the time; its errors as one line and exit code 1."""
    from sqlalchemy.exc import SQLAlchemyError

    from pipeline.runtime.clock import now_ms
    from pipeline.runtime.control_plane import ControlPlane, ControlPlaneError, migrate_control_plane
    from pipeline.runtime.settings import Settings

    dsn = Settings().control_plane_dsn()
    try:
        migrate_control_plane(dsn)
        store = ControlPlane(dsn)
        try:
            yield store, now_ms()
        finally:
            store.close()
    except ControlPlaneError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except SQLAlchemyError as error:
        typer.echo(f"the control plane's database cannot be used ({type(error).__name__})", err=True)
        raise typer.Exit(1) from error
