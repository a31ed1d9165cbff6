"""Rows of events as answers: items of lists, and one event with how far it has come in the pipeline. Pure."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from schemas.events import shown
from schemas.facts import SessionRow
from services.query.core.answers import Meta
from services.query.core.numbers import money_by_currency, seconds
from services.query.core.times import time_in_zone
from services.query.events.answers import (
    Event,
    EventConversion,
    EventDetail,
    EventStatus,
    RefundOutcome,
    Session,
    Step,
)
from services.query.events.detail_statements import (
    AttributionOfEvent,
    ConversionOfEvent,
    DeliveredRow,
    EventPlaceRow,
    MarkCount,
    StoredSession,
)
from services.query.events.statements import EventRow


def event_of(row: EventRow, zone: str) -> Event:
    return {
        "event_id": row.event_id,
        "event_name": row.event_name,
        "timestamp": time_in_zone(row.timestamp_ms, zone),
        "original_timestamp": time_in_zone(row.original_timestamp_ms or None, zone),
        "received_at": time_in_zone(row.received_us // 1000, zone),
        "user_id": row.user_id or None,
        "anonymous_id": row.anonymous_id or None,
        "properties": msgspec.Raw(row.properties.encode()),
    } | shown(lambda one: _or_null(getattr(row, one.name)))


def _or_null(given: Any) -> Any:
    return None if given == "" else given


@dataclass(frozen=True)
class EventFacts:
    """Everything the tables say about an event."""

    event: EventPlaceRow
    session: StoredSession | None
    conversions: list[ConversionOfEvent]
    attributions: dict[str, AttributionOfEvent]
    """Attributions by conversion id."""
    delivered_at_ms: dict[str, int]
    """Times of delivery by conversion id."""
    marks: dict[str, int]
    """Marks of the event → how often."""
    refund: RefundOutcome | None


def facts_of(
    event: EventPlaceRow,
    session: StoredSession | None,
    conversions: list[ConversionOfEvent],
    attributed: list[AttributionOfEvent],
    delivered: list[DeliveredRow],
    marks: list[MarkCount],
    refund: RefundOutcome | None,
) -> EventFacts:
    """Gather the facts from the rows that were read."""
    return EventFacts(
        event,
        session,
        conversions,
        {row.conversion_id: row for row in attributed},
        {row.fact_id: row.first_delivered_at_ms for row in delivered},
        {row.mark: row.marks for row in marks},
        refund,
    )


def event_detail(facts: EventFacts, meta: Meta) -> EventDetail:
    zone = meta["timezone"]
    session = None if _is_late(facts) else facts.session
    return {
        "event": event_of(facts.event, zone),
        "session": session_of(session, zone) if session else None,
        "status": _status(facts, zone),
        "meta": meta,
    }


def _is_late(facts: EventFacts) -> bool:
    return facts.marks.get("late", 0) > 0


def _status(facts: EventFacts, zone: str) -> EventStatus:
    is_late = _is_late(facts)
    session = None if is_late else facts.session
    is_converted = bool(facts.conversions)
    is_attributed = is_converted and all(c.conversion_id in facts.attributions for c in facts.conversions)
    converted_at_ms = max((c.stored_at_ms for c in facts.conversions), default=0)
    attributed_at_ms = max((row.first_stored_at_ms for row in facts.attributions.values()), default=0)
    step = partial(_step, zone)
    steps: list[Step] = [
        {"step": "accepted", "is_reached": True, "at": time_in_zone(facts.event.received_us // 1000, zone)},
        step("stored", True, facts.event.stored_at_ms),
        step("sessionised", session is not None, session.stored_at_ms if session else 0),
        step("converted", is_converted, converted_at_ms),
        step("attributed", is_attributed, attributed_at_ms),
        step("delivered", bool(facts.delivered_at_ms), min(facts.delivered_at_ms.values(), default=0)),
    ]
    return {
        "current": [step["step"] for step in steps if step["is_reached"]][-1],
        "steps": steps,
        "conversions": [_conversion(c, facts, zone) for c in facts.conversions],
        "is_late": is_late,
        "repeats": facts.marks.get("duplicate", 0),
        "refund": facts.refund,
    }


def _step(zone: str, name: str, is_reached: bool, at_ms: int) -> Step:
    """Build a step of the pipeline. `at_ms`: 0 where it is not known."""
    return {"step": name, "is_reached": is_reached, "at": time_in_zone(at_ms or None, zone) if is_reached else None}


def _conversion(row: ConversionOfEvent, facts: EventFacts, zone: str) -> EventConversion:
    found = facts.attributions.get(row.conversion_id)
    is_restated = found is not None and found.revision_count > 1
    return {
        "conversion_id": row.conversion_id,
        "goal": row.goal,
        "value_issue": row.value_issue or None,
        "is_attributed": found is not None,
        "converted_at": time_in_zone(row.stored_at_ms or None, zone),
        "attributed_at": time_in_zone(found.first_stored_at_ms or None, zone) if found else None,
        "restated_at": time_in_zone(found.newest_stored_at_ms or None, zone) if found and is_restated else None,
        "revision": found.newest_revision if found else None,
        "delivered_at": time_in_zone(facts.delivered_at_ms.get(row.conversion_id), zone),
    }


def session_of(row: SessionRow, zone: str) -> Session:
    return {
        "session_id": row.session_id,
        "start": time_in_zone(row.start_ms, zone),
        "end": time_in_zone(row.end_ms, zone),
        "duration_seconds": seconds(row.end_ms - row.start_ms),
        "events": row.events,
        "page_views": row.page_views,
        "entry_page": row.entry_page or None,
        "exit_page": row.exit_page or None,
        "channel": row.channel or None,
        "source": row.source or None,
        "medium": row.medium or None,
        "campaign": row.campaign or None,
        "conversions": row.conversions,
        "values": money_by_currency(row.values_minor),
        "is_bounce": row.is_bounce,
        "is_closed": row.is_closed,
    }
