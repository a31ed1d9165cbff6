"""A trial of an endpoint: one test message, signed like all others, sent from here."""

from pipeline.runtime.secret_box import SecretBox
from pipeline.runtime.settings import WebhookCallSettings
from schemas.control import WebhookEndpoint
from schemas.webhooks import TEST_TYPE
from services.webhook_calls.sender import Reply, Sender
from services.webhook_calls.test_message import build_test_message


async def send_test(settings: WebhookCallSettings, endpoint: WebhookEndpoint, box: SecretBox, now_ms: int) -> Reply:
    """Send the message and return the answer. Raises `SecretBoxError`."""
    body, headers = build_test_message(endpoint, box.unlock(endpoint.secret), TEST_TYPE, now_ms)
    sender = Sender(settings)
    await sender.start()
    try:
        return await sender.post(endpoint.url, headers, body)
    finally:
        await sender.stop()
