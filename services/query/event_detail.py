"""One event: its session, and how far it has come on its way through the pipeline. Pure."""

from dataclasses import dataclass
from functools import partial

import msgspec

from schemas.webhooks import Outcome
from services.query.answers import EventConversion, EventDetail, EventStatus, Meta, RefundOutcome, Session, Step
from services.query.events import EventRow, event_of
from services.query.numbers import money_by_currency, seconds
from services.query.performance_sql import LONGEST_SESSION_MS
from services.query.sql import Condition, Statement, Table, columns, equals, one_of, source, statement
from services.query.times import time_in_zone


class EventPlaceRow(EventRow):
    person_key: str
    stored_at_ms: int


class SessionOfEvent(msgspec.Struct):
    session_id: str
    start_ms: int
    end_ms: int
    events: int
    page_views: int
    entry_page: str
    exit_page: str
    channel: str
    source: str
    medium: str
    campaign: str
    conversions: int
    values_minor: dict[str, int]
    is_bounce: bool
    is_closed: bool
    stored_at_ms: int


class ConversionOfEvent(msgspec.Struct):
    conversion_id: str
    goal: str
    value_issue: str
    stored_at_ms: int


class AttributionOfEvent(msgspec.Struct):
    """Row of a conversion that is attributed."""

    conversion_id: str
    newest_revision: int
    first_stored_at_ms: int
    newest_stored_at_ms: int
    revision_count: int


class DeliveredRow(msgspec.Struct):
    """Row of a conversion a receiver has acknowledged."""

    fact_id: str
    first_delivered_at_ms: int


class MarkCount(msgspec.Struct):
    mark: str
    marks: int


@dataclass(frozen=True)
class EventFacts:
    """Everything the tables say about an event."""

    event: EventPlaceRow
    session: SessionOfEvent | None
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
    session: SessionOfEvent | None,
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


def find_event(app_id: str, event_id: str) -> Statement[EventPlaceRow]:
    """Find the event. Repeats under another time are taken back once they are recognised; until then the first received
    is returned.
    """
    conditions = equals("event_id", event_id)
    sql = (
        f"SELECT {columns(EventPlaceRow)} FROM {source(Table.EVENTS, conditions)} ORDER BY received_us, timestamp_ms"
        " LIMIT 1"
    )
    return statement(EventPlaceRow, app_id, sql, conditions)


def find_session(app_id: str, event: EventPlaceRow, person_key: str) -> Statement[SessionOfEvent]:
    """Find the session. `person_key`: the event's present owner."""
    conditions = [
        *equals("person_key", person_key),
        Condition(
            "start_ms BETWEEN {earliest_ms:Int64} AND {timestamp_ms:Int64} AND end_ms >= {timestamp_ms:Int64}",
            {"timestamp_ms": event.timestamp_ms, "earliest_ms": event.timestamp_ms - LONGEST_SESSION_MS},
        ),
    ]
    sql = f"SELECT {columns(SessionOfEvent)} FROM {source(Table.SESSIONS, conditions)} ORDER BY start_ms DESC LIMIT 1"
    return statement(SessionOfEvent, app_id, sql, conditions)


def find_conversions(app_id: str, event: EventPlaceRow) -> Statement[ConversionOfEvent]:
    """Find the conversions. One event may meet several goals; a conversion has its event's time."""
    at_its_time = Condition("converted_at_ms = {timestamp_ms:Int64}", {"timestamp_ms": event.timestamp_ms})
    conditions = [*equals("event_id", event.event_id), at_its_time]
    sql = f"SELECT {columns(ConversionOfEvent)} FROM {source(Table.CONVERSIONS, conditions)} ORDER BY goal"
    return statement(ConversionOfEvent, app_id, sql, conditions)


def find_attributed(app_id: str, conversion_ids: tuple[str, ...]) -> Statement[AttributionOfEvent]:
    """Find the attributed ones. `conversion_ids`: at least one."""
    conditions = one_of("conversion_id", conversion_ids)
    sql = f"""SELECT conversion_id, max(revision) AS newest_revision, min(stored_at_ms) AS first_stored_at_ms,
    max(stored_at_ms) AS newest_stored_at_ms, count() AS revision_count
FROM {source(Table.ATTRIBUTION_REVISIONS, conditions)}
GROUP BY conversion_id HAVING NOT argMax(is_taken_back, revision)"""
    return statement(AttributionOfEvent, app_id, sql, conditions)


def find_delivered(app_id: str, conversion_ids: tuple[str, ...]) -> Statement[DeliveredRow]:
    """Find the delivered ones. `conversion_ids`: at least one. Delivered to any endpoint, as a new conversion or as
    attributed.
    """
    conditions = one_of("fact_id", conversion_ids)
    sql = f"""SELECT fact_id, min(attempted_at_ms + duration_ms) AS first_delivered_at_ms
FROM {source(Table.WEBHOOK_ATTEMPTS, conditions)} AND outcome = '{Outcome.DELIVERED}'
GROUP BY fact_id"""
    return statement(DeliveredRow, app_id, sql, conditions)


def count_marks(app_id: str, event_id: str) -> Statement[MarkCount]:
    conditions = equals("event_id", event_id)
    sql = f"SELECT mark, count() AS marks FROM {source(Table.EVENT_MARKS, conditions)} GROUP BY mark"
    return statement(MarkCount, app_id, sql, conditions)


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


def session_of(row: SessionOfEvent, zone: str) -> Session:
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
