"""A new endpoint with its secret, and the check of its URL, for operators and the console."""

import secrets
from collections.abc import Iterable
from typing import Final

from pipeline.control.errors import Message, message
from pipeline.runtime.client_address import parse_networks
from pipeline.runtime.secret_box import SecretBox
from pipeline.runtime.settings import WebhookCallSettings
from schemas.control import WebhookEndpoint
from schemas.webhooks import EventType
from services.webhook_calls.addresses import refusal_of_url
from services.webhook_calls.signature import SECRET_BYTES, format_secret

_EVERYWHERE: Final = parse_networks("0.0.0.0/0,::/0")


def new_secret() -> str:
    return format_secret(secrets.token_bytes(SECRET_BYTES))


def new_endpoint(
    app_id: str, url: str, event_types: Iterable[EventType], description: str, box: SecretBox, now_ms: int
) -> tuple[WebhookEndpoint, str]:
    """Return an endpoint and its secret, which stands in the endpoint encrypted."""
    secret = new_secret()
    endpoint = WebhookEndpoint(
        endpoint_id="whe_" + secrets.token_hex(6),
        app_id=app_id,
        url=url,
        event_types=frozenset(event_types),
        secret=box.lock(secret),
        created_at_ms=now_ms,
        description=description,
    )
    return endpoint, secret


def refusal_for(settings: WebhookCallSettings, url: str) -> Message | None:
    """Return why this cannot be an endpoint's URL here; None if it can."""
    refusal = refusal_of_url(url, parse_networks(settings.webhook_allowed_networks))
    if refusal is None or refusal_of_url(url, _EVERYWHERE):
        return refusal
    return message("%(refusal)s; ATTRIKIT_WEBHOOK_ALLOWED_NETWORKS allows networks of your own", refusal=refusal)
