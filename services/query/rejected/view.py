"""Rows of refused events as answers. Pure."""

from schemas.facts import is_cut
from services.query.core.times import time_in_zone
from services.query.rejected.answers import RejectedEvent
from services.query.rejected.statements import RejectedEventRow


def rejected_event_of(row: RejectedEventRow, zone: str) -> RejectedEvent:
    return {
        "reject_id": row.reject_id,
        "rejected_at": time_in_zone(row.rejected_at_ms, zone),
        "stage": row.stage,
        "code": row.code,
        "field": row.field or None,
        "reason": row.reason,
        "payload": row.payload,
        "is_cut": is_cut(row.payload),
        "key_id": row.key_id or None,
    }
