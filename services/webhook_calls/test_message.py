"""The test message for trying an endpoint. Pure."""

import msgspec

from schemas.control import WebhookEndpoint
from schemas.ids import digest
from schemas.webhooks import Delivery
from services.webhook_calls.body import body_of
from services.webhook_calls.signature import signed_headers


def build_test_message(
    endpoint: WebhookEndpoint, secret: str, event_type: str, now_ms: int
) -> tuple[bytes, dict[str, str]]:
    """Build body and headers. Its sequence is 0: it is none of the deliveries that are counted."""
    message_id = "whd_" + digest("test", endpoint.endpoint_id, str(now_ms))
    delivery = Delivery(
        delivery_id=message_id,
        endpoint_id=endpoint.endpoint_id,
        app_id=endpoint.app_id,
        event_type=event_type,
        fact_id="",
        order_key="",
        created_at_ms=now_ms,
        data=msgspec.Raw(b'{"message":"This is a test."}'),
        queued_at_ms=now_ms,
    )
    body = body_of(delivery)
    return body, signed_headers([secret], secret, message_id, now_ms // 1000, body)
