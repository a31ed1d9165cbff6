"""A delivery to be sent once more, made of the body that was sent. Pure."""

from datetime import datetime

import msgspec

from schemas.webhooks import Delivery


class _Body(msgspec.Struct):
    """Fields of the delivery's body, `data` byte for byte."""

    id: str
    type: str
    created_at: datetime
    app_id: str
    sequence: int
    data: msgspec.Raw


_decode_body = msgspec.json.Decoder(_Body).decode


def queued_again(endpoint_id: str, fact_id: str, payload: str, now: int) -> Delivery:
    """Return the delivery whose body is `payload`, to be sent once more, with a retry schedule from its
    beginning. Pure."""
    body = _decode_body(payload)
    return Delivery(
        delivery_id=body.id,
        endpoint_id=endpoint_id,
        app_id=body.app_id,
        event_type=body.type,
        fact_id=fact_id,
        order_key=body.id,
        created_at_ms=round(body.created_at.timestamp() * 1000),
        data=body.data,
        queued_at_ms=now,
        sequence=body.sequence,
        is_resent=True,
    )
