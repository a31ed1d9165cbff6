"""A delivery made again from its body: the same bytes go out."""

import msgspec

from schemas.webhooks import Delivery, decode_deliveries, encode_delivery
from services.webhook_calls.body import body_of
from services.webhook_calls.resend import queued_again


def test_sent_again_it_has_the_same_id_and_the_same_bytes() -> None:
    data = msgspec.Raw('{"name":"首页","value":19.90,"credit":0.333333333,"path":[]}'.encode())
    first = Delivery(
        "whd_1",
        "whe_1",
        "shop",
        "conversion.created",
        "cnv_1",
        "u:1",
        1_705_314_601_007,
        data,
        1,
        sequence=42,
        attempt=8,
    )
    body = body_of(first)
    again = decode_deliveries(encode_delivery(queued_again("whe_1", "cnv_1", body.decode(), 99)))[0]
    assert body_of(again) == body
    assert (again.delivery_id, again.fact_id, again.attempt, again.queued_at_ms) == ("whd_1", "cnv_1", 1, 99)
    assert again.is_resent
