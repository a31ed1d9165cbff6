"""Body of a webhook's call. Pure.

A body is a function of the delivery alone, so every attempt sends, and every signature covers, the same bytes.
"""

from datetime import UTC, datetime

import msgspec

from schemas.webhooks import Delivery

_json = msgspec.json.Encoder(decimal_format="number").encode


def body_of(delivery: Delivery) -> bytes:
    """Build the body, which every attempt of it sends. It has its number."""
    return _json(
        {
            "id": delivery.delivery_id,
            "type": delivery.event_type,
            "created_at": time_text(delivery.created_at_ms),
            "app_id": delivery.app_id,
            "sequence": delivery.sequence,
            "data": delivery.data,
        }
    )


def time_text(time_ms: int) -> str:
    """Format a time in RFC 3339, UTC, to the millisecond."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
