"""Attempts of deliveries, made by hand: what a reader of the log must see."""

import msgspec

from pipeline.runtime.clickhouse import ClickHouse
from schemas.facts import encode_rows
from schemas.webhooks import Delivery, Outcome, WebhookAttemptRow, attempt_id
from services.webhook_calls.body import body_of

FIRST_MS = 4_102_444_800_000
"""2100-01-01T00:00:00Z: rows older than 90 days are dropped."""
SECOND_MS = 1_000


def attempt_row(app_id: str, delivery_id: str, endpoint_id: str, attempt: int, outcome: Outcome) -> WebhookAttemptRow:
    """Build the attempt's row of a delivery whose id ends in its sequence."""
    number = int(delivery_id.rpartition("_")[2])
    created_ms = FIRST_MS + number * SECOND_MS
    at_ms = created_ms + attempt * 10
    is_good = outcome is Outcome.DELIVERED
    return WebhookAttemptRow(
        app_id=app_id,
        delivery_id=delivery_id,
        attempt_id=attempt_id(delivery_id, attempt, at_ms),
        endpoint_id=endpoint_id,
        event_type="attribution.completed" if number % 2 else "conversion.created",
        fact_id=f"cnv_{number}",
        sequence=number,
        attempt=attempt,
        outcome=outcome.value,
        attempted_at_ms=at_ms,
        duration_ms=7,
        status=200 if is_good else 500,
        error="" if is_good else "HTTP 500",
        response_head='说: "no"\n',
        next_attempt_ms=at_ms + 5_000 if outcome is Outcome.RETRYING else 0,
        created_at_ms=created_ms,
        queued_at_ms=created_ms,
        is_resent=False,
        payload=body_of(_delivery(app_id, delivery_id, endpoint_id, number, created_ms)).decode(),
    )


def _delivery(app_id: str, delivery_id: str, endpoint_id: str, number: int, created_ms: int) -> Delivery:
    return Delivery(
        delivery_id=delivery_id,
        endpoint_id=endpoint_id,
        app_id=app_id,
        event_type="attribution.completed" if number % 2 else "conversion.created",
        fact_id=f"cnv_{number}",
        order_key="u:1",
        created_at_ms=created_ms,
        data=_data(number),
        queued_at_ms=created_ms,
        sequence=number,
    )


def _data(number: int) -> msgspec.Raw:
    return msgspec.Raw(b'{"conversion_id":"cnv_%d","value":19.90,"name":"\xe9\xa6\x96"}' % number)


def some_attempts(app_id: str, endpoint_id: str) -> list[WebhookAttemptRow]:
    """whd_1 was delivered at its second attempt; whd_2 is of an endpoint that is no more, and failed; whd_3 to whd_9
    are on their way."""
    return [
        attempt_row(app_id, "whd_1", endpoint_id, 1, Outcome.RETRYING),
        attempt_row(app_id, "whd_1", endpoint_id, 2, Outcome.DELIVERED),
        attempt_row(app_id, "whd_2", "whe_removed", 1, Outcome.RETRYING),
        attempt_row(app_id, "whd_2", "whe_removed", 2, Outcome.FAILED),
        *(attempt_row(app_id, f"whd_{number}", endpoint_id, 1, Outcome.RETRYING) for number in range(3, 10)),
    ]


async def insert_attempts(clickhouse: ClickHouse, app_id: str, endpoint_id: str) -> None:
    rows = some_attempts(app_id, endpoint_id)
    await clickhouse.insert_ndjson("webhook_attempts", encode_rows(rows))
    # As after a crash of the loader: the same rows once more, and another app's of the same ids.
    await clickhouse.insert_ndjson("webhook_attempts", encode_rows(rows[::-1]))
    await clickhouse.insert_ndjson("webhook_attempts", encode_rows(some_attempts("other", endpoint_id)[:3]))
