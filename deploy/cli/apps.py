"""`attrikit apps` and `attrikit keys`: manage the control plane from the command line. `goals` has a module of its
own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.environment import Kept, command_settings
from schemas.control import DEFAULT_DROPPED_PARAMETERS, App, ClientAddress, Plan, Scope
from schemas.facts import TouchType

if TYPE_CHECKING:
    from pipeline.control import ControlPlane

apps = typer.Typer(help="Apps: whose events are kept apart.", no_args_is_help=True)
keys = typer.Typer(help="API keys: who may report and read.", no_args_is_help=True)

AppOption = Annotated[str, typer.Option("--app", help="The app's id.")]


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
    with control_plane() as (store, now_ms):
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
    allow_app_id: Annotated[
        bool | None,
        typer.Option("--allow-app-id/--no-app-id", help="Pages of these origins may report with the app's id, no key."),
    ] = None,
    half_life_days: Annotated[float | None, typer.Option(help="Of time_decay: weight halves in so many days.")] = None,
    window: Annotated[
        list[str] | None, typer.Option(help="TYPE=DAYS, repeatable: click, impression, view, visit.")
    ] = None,
    position_weights: Annotated[
        str | None, typer.Option(help="FIRST,MIDDLE,LAST of position_based: 0.4,0.2,0.4")
    ] = None,
    direct_touch: Annotated[
        str | None, typer.Option(help="include, or fallback: direct gets credit only where there is nothing else.")
    ] = None,
    session_gap_minutes: Annotated[int | None, typer.Option(help="So long a pause ends a session.")] = None,
    drop_parameter: Annotated[
        list[str] | None,
        typer.Option(help="Query parameter left out of page addresses; `default`: the usual ones. Repeatable."),
    ] = None,
    keep_parameters: Annotated[bool, typer.Option("--keep-parameters", help="Store page addresses as sent.")] = False,
    client_address: Annotated[
        ClientAddress | None, typer.Option(help="How client addresses are stored; shortened: /24, /48.")
    ] = None,
) -> None:
    """Change an app; options left out keep their values. Origins and parameters given replace the stored ones.

    Attribution settings have versions: what is computed from now on names the new one.
    """
    if allow_origin and no_origin:
        raise typer.BadParameter("it contradicts --allow-origin", param_hint="--no-origin")
    origins = () if no_origin else tuple(allow_origin) if allow_origin else None
    hidden = {"dropped_parameters": _dropped(drop_parameter, keep_parameters), "client_address": client_address}
    given = {
        "name": name,
        "plan": plan,
        "history_limit_days": history_limit_days,
        "allowed_origins": origins,
        "allows_app_id": allow_app_id,
    }
    settings = {
        "half_life_days": half_life_days,
        "position_weights": _weights(position_weights),
        "direct_touch": direct_touch,
        "session_gap_seconds": None if session_gap_minutes is None else session_gap_minutes * 60,
    }
    windows = dict(_window(text) for text in window or [])
    with control_plane() as (store, now_ms):
        known = store.app(app_id)
        attribution = replace(
            known.attribution, window_days=known.attribution.window_days | windows, **_given(settings)
        )
        privacy = replace(known.privacy, **_given(hidden))
        app = store.update_app(replace(known, attribution=attribution, privacy=privacy, **_given(given)), now_ms)
    version = f"attribution v{app.config_version}"
    fields = (app.app_id, app.plan, str(app.history_limit_days), _origins_of(app), version, _privacy_of(app), app.name)
    typer.echo("\t".join(fields))


def _dropped(given: list[str] | None, keep: bool) -> tuple[str, ...] | None:
    """Names of parameters to drop, None if nothing is said of them."""
    from pipeline.domain.channels.campaign_tags import is_tag_name

    if keep and given:
        raise typer.BadParameter("it contradicts --drop-parameter", param_hint="--keep-parameters")
    tag = next((name for name in given or () if is_tag_name(name)), None)
    if tag is not None:
        raise typer.BadParameter(f"{tag!r}: channels are found by it", param_hint="--drop-parameter")
    if not given:
        return () if keep else None
    names = [name for one in given for name in (DEFAULT_DROPPED_PARAMETERS if one == "default" else (one,))]
    return tuple(dict.fromkeys(names))


def _privacy_of(app: App) -> str:
    return f"client addresses {app.privacy.client_address}, {len(app.privacy.dropped_parameters)} parameters dropped"


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@apps.command("list")
def list_apps() -> None:
    """List every app: id, plan, currency, time zone, goals, origins of pages that may report (`by app id`: without a
    key), name.
    """
    with control_plane() as (store, _):
        for app in store.apps():
            goals = ",".join(goal.name for goal in app.goals)
            fields = (app.app_id, app.plan, app.currency, app.timezone, goals, _origins_of(app), app.name)
            typer.echo("\t".join(fields))


def _origins_of(app: App) -> str:
    return (",".join(app.allowed_origins) or "none") + (" by app id" if app.allows_app_id else "")


def _window(text: str) -> tuple[TouchType, int]:
    kind, _, days = text.partition("=")
    if kind not in set(TouchType) or not days.isdecimal():
        raise typer.BadParameter(
            f"{text!r}: expected click, impression, view or visit, then =DAYS", param_hint="--window"
        )
    return TouchType(kind), int(days)


def _weights(text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        first, middle, last = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: expected three numbers", param_hint="--position-weights") from None
    return first, middle, last


@keys.command("create")
def create_key(
    app_id: AppOption,
    scope: Annotated[list[Scope] | None, typer.Option(help="Repeatable; both if left out.")] = None,
    test: Annotated[bool, typer.Option("--test", help="An ak_test_ key.")] = False,
) -> None:
    """Make a key and print it, alone, on standard output. It is shown only this once: only its hash is stored."""
    with control_plane() as (store, now_ms):
        new = store.create_key(app_id, scope or list(Scope), now_ms, is_test=test)
    typer.echo(f"created {new.key_id}; keep the key, it is not shown again", err=True)
    typer.echo(new.secret)


@keys.command("list")
def list_keys(app_id: Annotated[str | None, typer.Option("--app", help="Of this app only.")] = None) -> None:
    """List every key: id, app, prefix, scopes, state, last use (to about a minute)."""
    with control_plane() as (store, _):
        for key in store.keys(app_id):
            state = "active" if key.revoked_at_ms is None else "revoked"
            scopes = ",".join(sorted(key.scopes))
            fields = (key.key_id, key.app_id, key.prefix + "…", scopes, state, _last_use(key.last_used_at_ms))
            typer.echo("\t".join(fields))


def _last_use(at_ms: int | None) -> str:
    return "never used" if at_ms is None else f"used {datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Revoke a key. Every process refuses it within seconds."""
    with control_plane() as (store, now_ms):
        store.revoke_key(key_id, now_ms)
    typer.echo(f"revoked {key_id}")


@contextmanager
def control_plane() -> Iterator[tuple["ControlPlane", int]]:
    """Open the migrated control plane; yield it with the present time."""
    from pipeline.control import ControlPlane, prepare_control_plane
    from pipeline.runtime.clock import now_ms

    settings = command_settings(Kept.CONTROL_PLANE)
    prepare_control_plane(settings)
    store = ControlPlane(settings.control_plane_dsn())
    try:
        yield store, now_ms()
    finally:
        store.close()
