"""One event: its session, and how far it has come on its way through the pipeline. Pure."""

from dataclasses import dataclass

import msgspec

from services.query.answers import EventDetail, EventStatus, Meta, Session, Step
from services.query.events import EventRow, event_of
from services.query.numbers import money_by_currency, seconds
from services.query.sql import Condition, Statement, Table, columns, equals, one_of, source, statement
from services.query.times import utc_text


class EventPlaceRow(EventRow):
    person_key: str


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


class ConversionOfEvent(msgspec.Struct):
    conversion_id: str
    goal: str


class AttributedId(msgspec.Struct):
    conversion_id: str


class MarkCount(msgspec.Struct):
    mark: str
    marks: int


@dataclass(frozen=True)
class EventFacts:
    """Everything the tables say about an event."""

    event: EventPlaceRow
    session: SessionOfEvent | None
    conversions: list[ConversionOfEvent]
    attributed_ids: frozenset[str]
    marks: dict[str, int]
    """Mark → how often."""


def find_event(app_id: str, event_id: str) -> Statement[EventPlaceRow]:
    """Repeats under another time are taken back once they are recognised; until then the first received is it."""
    conditions = equals("event_id", event_id)
    sql = (
        f"SELECT {columns(EventPlaceRow)} FROM {source(Table.EVENTS, conditions)} ORDER BY received_us, timestamp_ms"
        " LIMIT 1"
    )
    return statement(EventPlaceRow, app_id, sql, conditions)


def find_session(app_id: str, event: EventPlaceRow) -> Statement[SessionOfEvent]:
    conditions = [
        *equals("person_key", event.person_key),
        Condition(
            "start_ms <= {timestamp_ms:Int64} AND end_ms >= {timestamp_ms:Int64}", {"timestamp_ms": event.timestamp_ms}
        ),
    ]
    sql = f"SELECT {columns(SessionOfEvent)} FROM {source(Table.SESSIONS, conditions)} ORDER BY start_ms DESC LIMIT 1"
    return statement(SessionOfEvent, app_id, sql, conditions)


def find_conversions(app_id: str, event_id: str) -> Statement[ConversionOfEvent]:
    """One event may meet several goals."""
    conditions = equals("event_id", event_id)
    sql = f"SELECT {columns(ConversionOfEvent)} FROM {source(Table.CONVERSIONS, conditions)} ORDER BY goal"
    return statement(ConversionOfEvent, app_id, sql, conditions)


def find_attributed(app_id: str, conversion_ids: tuple[str, ...]) -> Statement[AttributedId]:
    """`conversion_ids`: at least one."""
    conditions = one_of("conversion_id", conversion_ids)
    sql = f"SELECT conversion_id FROM {source(Table.ATTRIBUTIONS, conditions)}"
    return statement(AttributedId, app_id, sql, conditions)


def count_marks(app_id: str, event_id: str) -> Statement[MarkCount]:
    conditions = equals("event_id", event_id)
    sql = f"SELECT mark, count() AS marks FROM {source(Table.EVENT_MARKS, conditions)} GROUP BY mark"
    return statement(MarkCount, app_id, sql, conditions)


def event_detail(facts: EventFacts, meta: Meta) -> EventDetail:
    session = None if _is_late(facts) else facts.session
    return {
        "event": event_of(facts.event),
        "session": session_of(session) if session else None,
        "status": _status(facts),
        "meta": meta,
    }


def _is_late(facts: EventFacts) -> bool:
    return facts.marks.get("late", 0) > 0


def _status(facts: EventFacts) -> EventStatus:
    is_late = _is_late(facts)
    is_converted = bool(facts.conversions)
    is_attributed = is_converted and all(c.conversion_id in facts.attributed_ids for c in facts.conversions)
    steps: list[Step] = [
        {"step": "accepted", "is_reached": True, "at": utc_text(facts.event.received_us // 1000)},
        {"step": "stored", "is_reached": True, "at": None},
        {"step": "sessionised", "is_reached": facts.session is not None and not is_late, "at": None},
        {"step": "converted", "is_reached": is_converted, "at": None},
        {"step": "attributed", "is_reached": is_attributed, "at": None},
    ]
    return {
        "current": [step["step"] for step in steps if step["is_reached"]][-1],
        "steps": steps,
        "conversions": [
            {"conversion_id": c.conversion_id, "goal": c.goal, "is_attributed": c.conversion_id in facts.attributed_ids}
            for c in facts.conversions
        ],
        "is_late": is_late,
        "repeats": facts.marks.get("duplicate", 0),
    }


def session_of(row: SessionOfEvent) -> Session:
    return {
        "session_id": row.session_id,
        "start": utc_text(row.start_ms),
        "end": utc_text(row.end_ms),
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
