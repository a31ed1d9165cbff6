"""The step of an attempt, and what carries its trace from the fact to it."""

import msgspec
from kept_spans import PARENT, RECORDED, TRACE, KeptSpans, parent_of

from schemas.webhooks import Delivery, decode_deliveries, encode_delivery
from services.webhook_calls.sender import Reply
from services.webhooks.attempt_outcome import Moment, conclude
from services.webhooks.attempts import begin_attempt, end_attempt
from services.webhooks.retry_schedule import RetrySchedule


def delivery(traceparent: str = "") -> Delivery:
    data = msgspec.Raw(b'{"user_id":"a-person"}')
    made = Delivery("whd_1", "whe_1", "shop", "conversion.created", "cnv_1", "u:a-person", 1, data, 2)
    made.traceparent = traceparent
    return made


def test_an_attempt_says_how_it_ended_and_nothing_of_whom_it_is_about() -> None:
    kept = KeptSpans()
    span = begin_attempt(kept.tracer, delivery(RECORDED.decode()))
    assert span is not None
    end_attempt(span, Reply(503, "HTTP 503", 12))
    (ended,) = kept.all
    assert parent_of(ended) == (int(TRACE, 16), int(PARENT, 16))
    assert ended.status.description == "503"
    assert dict(ended.attributes or {}) == {
        "attrikit.app_id": "shop",
        "attrikit.endpoint_id": "whe_1",
        "attrikit.event_type": "conversion.created",
        "attrikit.attempt": 1,
        "http.response.status_code": 503,
    }


def test_a_delivery_that_is_not_traced_is_not_longer_and_a_retry_keeps_its_trace() -> None:
    assert b"traceparent" not in encode_delivery(delivery())
    (read,) = decode_deliveries(encode_delivery(delivery(RECORDED.decode())))
    again = conclude(read, b"{}", Reply(503, "HTTP 503", 1), Moment(1_000, 0.5), RetrySchedule()).again
    assert again is not None
    assert again.traceparent == RECORDED.decode()
