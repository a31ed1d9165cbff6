"""Statements of one event: its session, its conversions, and what became of them. Pure."""

import msgspec

from schemas.facts import SessionRow
from schemas.webhooks import Outcome
from services.query.core.sql import Condition, Statement, Table, columns, equals, one_of, source, statement
from services.query.events.statements import EventRow
from services.query.identity.sessions import LONGEST_SESSION_MS


class EventPlaceRow(EventRow, gc=False):
    person_key: str = ""
    stored_at_ms: int = 0


class StoredSession(SessionRow, gc=False):
    stored_at_ms: int = 0


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


def find_session(app_id: str, event: EventPlaceRow, person_key: str) -> Statement[StoredSession]:
    """Find the session. `person_key`: the event's present owner."""
    conditions = [
        *equals("person_key", person_key),
        Condition(
            "start_ms BETWEEN {earliest_ms:Int64} AND {timestamp_ms:Int64} AND end_ms >= {timestamp_ms:Int64}",
            {"timestamp_ms": event.timestamp_ms, "earliest_ms": event.timestamp_ms - LONGEST_SESSION_MS},
        ),
    ]
    sql = f"SELECT {columns(StoredSession)} FROM {source(Table.SESSIONS, conditions)} ORDER BY start_ms DESC LIMIT 1"
    return statement(StoredSession, app_id, sql, conditions)


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
