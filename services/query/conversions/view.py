"""Rows of conversions as answers. Pure."""

from schemas.amounts import shown_value
from services.query.conversions.answers import Conversion
from services.query.conversions.statements import EMPTY_PATH_CHANNEL, ConversionFact
from services.query.core.numbers import money
from services.query.core.times import time_in_zone


def conversion_of(row: ConversionFact, zone: str) -> Conversion:
    channels = row.path_channels or [EMPTY_PATH_CHANNEL]
    value, currency = shown_value(row.value_minor - row.refunded_minor, row.currency, row.value_issue)
    return {
        "conversion_id": row.conversion_id,
        "goal": row.goal,
        "goal_type": row.goal_type,
        "goal_version": row.goal_version,
        "event_id": row.event_id,
        "converted_at": time_in_zone(row.converted_at_ms, zone),
        "user_id": row.user_id or None,
        "anonymous_id": row.anonymous_id or None,
        "session_id": row.session_id or None,
        "order_id": row.order_id or None,
        "value": value,
        "value_issue": row.value_issue or None,
        "refunded": money(row.refunded_minor, row.currency),
        "currency": currency,
        "path_length": len(row.path_channels),
        "first_channel": channels[0],
        "last_channel": channels[-1],
        "is_bot": row.is_bot,
    }
