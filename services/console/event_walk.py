"""Stored events read back from the API, as the stream's own functions take them, to try rules on."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pipeline.runtime.clock import now_ms
from schemas.events import AcceptedEvent
from services.console.page import Page
from services.console.stored_events import event_of
from services.console.walk import walk

DAYS: Final = 7
MOST_EVENTS: Final = 2_000
_STEP: Final = 250
"""Events asked for at once: an event has up to 32 KB."""


@dataclass(frozen=True)
class RecentEvents:
    """The newest events of the last days. `is_whole`: there are no more of them than these."""

    events: list[AcceptedEvent]
    is_whole: bool


async def recent_events(page: Page, event_name: str = "") -> RecentEvents | None:
    """Read at most `MOST_EVENTS` of the last `DAYS` days; None: they cannot be read now."""
    start = datetime.fromtimestamp(now_ms() / 1000, UTC) - timedelta(days=DAYS)
    asked = {"event_name": event_name, "from": start.isoformat(), "limit": _STEP}
    found = await walk(page, "/v1/events", asked, MOST_EVENTS)
    if found is None:
        return None
    return RecentEvents([event_of(page.app_id, item) for item in found.items], found.is_whole)
