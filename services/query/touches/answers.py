"""Answers about touches: shape, an example, and rows as items. Pure."""

from typing import Annotated, Any, Final

from pydantic import Field
from typing_extensions import TypedDict

from services.query.core.answers import Text
from services.query.core.times import time_in_zone
from services.query.touches.statements import TouchFact


class JourneyTouch(TypedDict):
    touch_id: Annotated[str, Field(description="Id of the event it was made from.")]
    session_id: str
    touched_at: str
    touch_type: str
    channel: str
    source: Text
    medium: Text
    campaign: Text


EXAMPLE_TOUCH: Final[dict[str, Any]] = {
    "touch_id": "evt_01hm5rxqe0x5jw3kq8n4v2t6yz",
    "session_id": "ses_0b9c2f6f5d3e4a1b8c7d6e5f",
    "touched_at": "2024-01-15T18:20:00.000+08:00",
    "touch_type": "click",
    "channel": "paid_search",
    "source": "baidu",
    "medium": "cpc",
    "campaign": "spring",
}


def touch_of(row: TouchFact, zone: str) -> JourneyTouch:
    return {
        "touch_id": row.touch_id,
        "session_id": row.session_id,
        "touched_at": time_in_zone(row.touched_at_ms, zone),
        "touch_type": row.touch_type,
        "channel": row.channel,
        "source": row.source or None,
        "medium": row.medium or None,
        "campaign": row.campaign or None,
    }
