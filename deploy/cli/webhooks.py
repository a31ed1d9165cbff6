"""`attrikit webhooks`: manage endpoints from the command line, and send deliveries again through the API."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from deploy.cli.api_client import HERE, KeyOption, UrlOption, api_client, call_api, walk_api
from deploy.cli.apps import control_plane
from deploy.cli.environment import Kept, command_settings, load_settings
from schemas.webhooks import EndpointState, EventType, Outcome

if TYPE_CHECKING:
    from pipeline.control.webhooks import WebhookEndpoints
    from pipeline.runtime.secret_box import SecretBox

webhooks = typer.Typer(help="Endpoints that are told of conversions, credits and alerts.", no_args_is_help=True)

_ROTATION_HOURS: Final = 24
_Id = Annotated[str, typer.Argument(help="As `webhooks list` shows it.")]


@webhooks.command("serve")
def serve() -> None:
    """Run the webhook dispatcher: Kafka → HTTP (a process of its own)."""
    from deploy.processes import run_webhooks
    from pipeline.runtime.settings import WebhooksSettings

    run_webhooks(load_settings("webhooks", WebhooksSettings, Kept.CONTROL_PLANE, Kept.WEBHOOK_KEY))


@webhooks.command("add")
def add(
    app_id: Annotated[str, typer.Option("--app", help="The app's id.")],
    url: Annotated[str, typer.Argument(help="https://your-domain.com/webhooks/attrikit")],
    event: Annotated[list[EventType] | None, typer.Option(help="Repeatable; all if left out.")] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    concurrency: Annotated[int, typer.Option(help="Attempts under way at once.")] = 16,
    rate: Annotated[float, typer.Option(help="Attempts begun per second; 0: no limit.")] = 0.0,
) -> None:
    """Add an endpoint and print its secret, alone, on standard output. The secret is shown only this once."""
    from services.webhook_calls.new_endpoint import new_endpoint

    _check_url(url)
    with endpoints() as (store, box, now_ms):
        made, secret = new_endpoint(app_id, url, event or list(EventType), description, box, now_ms)
        endpoint = replace(made, max_concurrency=concurrency, max_per_second=rate)
        store.add(endpoint, now_ms)
    typer.echo(f"added {endpoint.endpoint_id}; keep the secret, it is not shown again", err=True)
    typer.echo("it is told of what happens from now on, once the dispatcher knows it (in seconds)", err=True)
    typer.echo(secret)


@webhooks.command("list")
def list_endpoints(app_id: Annotated[str | None, typer.Option("--app", help="Of this app only.")] = None) -> None:
    """List every endpoint: id, app, state, since when it has been failing, event types, URL, description."""
    with endpoints() as (store, _, _now):
        for found in store.endpoints(app_id):
            failing = "-" if found.failing_since_ms is None else f"failing since {_time(found.failing_since_ms)}"
            state = f"{found.state} ({found.state_reason})" if found.state_reason else found.state.value
            events = ",".join(sorted(found.event_types))
            fields = (found.endpoint_id, found.app_id, state, failing, events, found.url, found.description)
            typer.echo("\t".join(fields))


@webhooks.command("pause")
def pause(endpoint_id: _Id) -> None:
    """Pause an endpoint: it is sent nothing until it is resumed; what it misses is logged as skipped and can be
    replayed.
    """
    with endpoints() as (store, _, now_ms):
        store.set_state(endpoint_id, EndpointState.PAUSED, now_ms)
    typer.echo(f"paused {endpoint_id}")


@webhooks.command("resume")
def resume(endpoint_id: _Id) -> None:
    """Resume an endpoint, after a pause or after it was disabled. `replay` sends what it missed."""
    with endpoints() as (store, _, now_ms):
        store.set_state(endpoint_id, EndpointState.ACTIVE, now_ms)
    typer.echo(f"resumed {endpoint_id}")


@webhooks.command("remove")
def remove(endpoint_id: _Id) -> None:
    """Remove an endpoint. Deliveries that wait for it are dropped."""
    with endpoints() as (store, _, _now):
        store.remove(endpoint_id)
    typer.echo(f"removed {endpoint_id}")


@webhooks.command("rotate")
def rotate(
    endpoint_id: _Id,
    hours: Annotated[
        float, typer.Option(min=0.0, help="How long the old secret stays valid; 0: no longer.")
    ] = _ROTATION_HOURS,
) -> None:
    """Make a new secret and print it, alone, on standard output; until the time is over both are valid."""
    from services.webhook_calls.new_endpoint import new_secret

    with endpoints() as (store, box, now_ms):
        secret = new_secret()
        until_ms = now_ms + int(hours * 3_600_000)
        store.rotate(endpoint_id, box.lock(secret), until_ms, now_ms)
    typer.echo(f"rotated {endpoint_id}; the secret before is valid until {_time(until_ms)}", err=True)
    typer.echo(secret)


@webhooks.command("test")
def test(endpoint_id: _Id) -> None:
    """Send one `webhook.test` message from here, signed like all others, and show the answer. Exit code 1: no 2xx."""
    from services.webhook_calls.trial import send_test

    with endpoints() as (store, box, now_ms):
        endpoint = store.find(endpoint_id)
        answer = asyncio.run(send_test(command_settings(), endpoint, box, now_ms))
    typer.echo(f"{answer.error or f'HTTP {answer.status}'} after {answer.duration_ms} ms")
    if answer.head:
        typer.echo("".join(character if character.isprintable() else " " for character in answer.head))
    raise typer.Exit(0 if answer.is_success else 1)


@contextmanager
def endpoints() -> Iterator[tuple["WebhookEndpoints", "SecretBox", int]]:
    """Open the endpoints, the box that seals their secrets, and the time."""
    from pipeline.control.webhooks import WebhookEndpoints
    from pipeline.runtime.secret_box import SecretBox

    settings = command_settings(Kept.CONTROL_PLANE, Kept.WEBHOOK_KEY)
    with control_plane() as (_, now_ms):
        store = WebhookEndpoints(settings.control_plane_dsn())
        try:
            yield store, SecretBox.open(settings, creates=True), now_ms
        finally:
            store.close()


def _check_url(url: str) -> None:
    from services.webhook_calls.new_endpoint import refusal_for

    if refusal := refusal_for(command_settings(), url):
        raise typer.BadParameter(f"{url!r} cannot be used: {refusal}", param_hint="URL")


def _time(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


@webhooks.command("replay")
def replay(
    since: Annotated[str, typer.Option(help="RFC 3339 time or date: of facts written at or after it.")],
    until: Annotated[str | None, typer.Option(help="RFC 3339 time (exclusive) or date (inclusive).")] = None,
    endpoint_id: Annotated[str | None, typer.Option("--endpoint", help="Of this endpoint only.")] = None,
    event: Annotated[list[EventType] | None, typer.Option(help="Repeatable; all if left out.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Delivered ones too; else those that failed or were skipped.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only; nothing is sent.")] = False,
    url: UrlOption = HERE,
    key: KeyOption = "",
) -> None:
    """Send deliveries again, with the same ids and bodies. Takes a key with the scopes read and write."""
    statuses = [] if everything else [Outcome.FAILED.value, Outcome.SKIPPED.value]
    given = {"from": since, "to": until, "endpoint_id": endpoint_id, "type": event or None, "status": statuses or None}
    filters = {name: value for name, value in given.items() if value is not None}
    with api_client(url, key) as client:
        # All ids first: what is sent again changes its state, and so the list.
        ids = [item["delivery_id"] for item in walk_api(client, "/v1/webhooks/deliveries", filters)][::-1]
        for delivery_id in [] if dry_run else ids:
            call_api(client, "POST", f"/v1/webhooks/deliveries/{delivery_id}/resend")
    typer.echo(f"{'would queue' if dry_run else 'queued'} {len(ids)}")
