"""`attrikit apps` and `attrikit keys`: the control plane from the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
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


@apps.command("set")
def set_app(
    app_id: Annotated[str, typer.Argument(help="As `apps list` shows it.")],
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    plan: Annotated[Plan | None, typer.Option(help="Limits the requests a day.")] = None,
    history_limit_days: Annotated[int | None, typer.Option(help="Older events are refused.")] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Pages that may report: https://shop.example, https://*.shop.example or *. Repeatable."),
    ] = None,
    no_origin: Annotated[bool, typer.Option("--no-origin", help="No page may report: servers only.")] = False,
) -> None:
    """Change an app; what is left out stays. The origins given replace those there were."""
    if allow_origin and no_origin:
        raise typer.BadParameter("it contradicts --allow-origin", param_hint="--no-origin")
    origins = () if no_origin else tuple(allow_origin) if allow_origin else None
    given = {"name": name, "plan": plan, "history_limit_days": history_limit_days, "allowed_origins": origins}
    with _control_plane() as (store, _):
        changed = {field: value for field, value in given.items() if value is not None}
        app = store.update_app(replace(store.app(app_id), **changed))  # type: ignore[arg-type]
    typer.echo("\t".join((app.app_id, app.plan, str(app.history_limit_days), _origins_of(app), app.name)))


@apps.command("list")
def list_apps() -> None:
    """Every app: id, plan, currency, time zone, goals, origins of pages that may report, name."""
    with _control_plane() as (store, _):
        for app in store.apps():
            goals = ",".join(goal.name for goal in app.goals)
            fields = (app.app_id, app.plan, app.currency, app.timezone, goals, _origins_of(app), app.name)
            typer.echo("\t".join(fields))


def _origins_of(app: App) -> str:
    return ",".join(app.allowed_origins) or "none"


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
    """Every key: id, app, how it begins, scopes, state, when it was last used (to about a minute)."""
    with _control_plane() as (store, _):
        for key in store.keys(app_id):
            state = "active" if key.revoked_at_ms is None else "revoked"
            scopes = ",".join(sorted(key.scopes))
            fields = (key.key_id, key.app_id, key.prefix + "…", scopes, state, _last_use(key.last_used_at_ms))
            typer.echo("\t".join(fields))


def _last_use(at_ms: int | None) -> str:
    return "never used" if at_ms is None else f"used {datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


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
