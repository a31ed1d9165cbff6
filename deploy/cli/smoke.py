"""`attrikit smoke` checks a whole installation with one event."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import uuid4

import typer

from deploy.cli.api_client import HERE, ApiFailed, UrlOption, api_client, call_api
from deploy.cli.apps import control_plane
from schemas.control import App, Scope

if TYPE_CHECKING:
    from pipeline.control.store import NewKey

_PAUSE_SECONDS: Final = 0.5


def smoke(
    url: UrlOption = HERE,
    app_id: Annotated[str, typer.Option("--app", help="The app to post to; made if it is missing.")] = "smoke",
    timeout_seconds: Annotated[float, typer.Option(min=1.0, help="How long it may take in all.")] = 120.0,
) -> None:
    """Post an event through the gateway and wait until it can be read. Exits 1 if that takes too long."""
    from pipeline.runtime.clock import monotonic_seconds

    deadline = monotonic_seconds() + timeout_seconds
    event = {"event_name": "smoke_test", "event_id": f"evt_smoke_{uuid4().hex}", "anonymous_id": "smoke"}
    key = _new_key(app_id)
    try:
        with api_client(url, key.secret) as client:
            _until(deadline, lambda: call_api(client, "POST", "/v1/events/track", json=event))
            typer.echo(f"accepted {event['event_id']}")
            _until(deadline, lambda: call_api(client, "GET", f"/v1/events/{event['event_id']}"))
            typer.echo(f"readable {event['event_id']}")
    finally:
        with control_plane() as (store, now_ms):
            store.revoke_key(key.key_id, now_ms)


def _new_key(app_id: str) -> "NewKey":
    with control_plane() as (store, now_ms):
        if app_id not in {app.app_id for app in store.apps()}:
            store.create_app(App(app_id, app_id), now_ms)
        return store.create_key(app_id, list(Scope), now_ms)


def _until(deadline: float, call: Callable[[], Any]) -> None:
    """Call until it succeeds: a new key is known everywhere only after a moment, and an event is readable later still.

    Raises the last `ApiFailed` once the deadline has passed.
    """
    from pipeline.runtime.clock import monotonic_seconds

    while True:
        try:
            call()
            return
        except ApiFailed:
            if monotonic_seconds() > deadline:
                raise
        time.sleep(_PAUSE_SECONDS)
