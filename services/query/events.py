"""Lists of events: of the app, and of one person. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from services.query.answers import Event, EventList, Meta
from services.query.cursors import Position
from services.query.pages import Page, cut
from services.query.sql import (
    Condition,
    Newest,
    Statement,
    Table,
    columns,
    equals,
    older_than,
    one_of,
    source,
    statement,
    within,
)
from services.query.times import TimeRange, utc_text

LIST_NAME: Final = "events"
_PLAIN: Final = re.compile(r"^[A-Za-z0-9_-]+\Z")
_NUMERIC: Final = re.compile(r"^[+-]?(\d|inf|nan)", re.IGNORECASE)
"""What may be written otherwise in JSON: as 1e3, say."""
_NUMBER: Final = re.compile(r"^-?[0-9]{1,15}(\.[0-9]{1,15})?\Z")


class EventRow(msgspec.Struct):
    """The columns of an event an answer shows. `properties` is the caller's object as text."""

    event_id: str
    event_name: str
    timestamp_ms: int
    received_us: int
    user_id: str
    anonymous_id: str
    properties: str
    page_url: str
    page_title: str
    referrer: str
    campaign_source: str
    campaign_medium: str
    campaign_name: str
    campaign_term: str
    campaign_content: str
    ip: str
    user_agent: str
    locale: str
    original_timestamp_ms: int
    is_bot: bool


class SessionPlace(msgspec.Struct):
    """Where a session lies. An event carries no session id, because sessions can be restated; a place can be asked."""

    person_key: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class EventFilter:
    event_names: tuple[str, ...] = ()
    user_id: str | None = None
    anonymous_id: str | None = None
    person_keys: tuple[str, ...] = ()
    session: SessionPlace | None = None
    time_range: TimeRange = field(default_factory=TimeRange)
    properties: tuple[tuple[str, str], ...] = ()
    """(name, value) pairs, all of which must hold; see `property_condition`."""
    session_keys: tuple[str, ...] = ()
    """The person keys the session's events were accepted under; empty: the session's own."""


def session_place(app_id: str, session_id: str) -> Statement[SessionPlace]:
    conditions = equals("session_id", session_id)
    sql = f"SELECT {columns(SessionPlace)} FROM {source(Table.SESSIONS, conditions)} LIMIT 1"
    return statement(SessionPlace, app_id, sql, conditions)


def list_events(app_id: str, wanted: EventFilter, page: Page) -> Newest[EventRow]:
    conditions = (
        *one_of("event_name", wanted.event_names),
        *equals("user_id", wanted.user_id),
        *equals("anonymous_id", wanted.anonymous_id),
        *one_of("person_key", wanted.person_keys),
        *_in_session(wanted.session, wanted.session_keys),
        *within("timestamp_ms", wanted.time_range),
        *(property_condition(index, *pair) for index, pair in enumerate(wanted.properties)),
        *older_than("timestamp_ms", "event_id", page.after),
    )
    return Newest(EventRow, app_id, Table.EVENTS, "timestamp_ms", "event_id", conditions, page.row_limit)


def _in_session(session: SessionPlace | None, keys: tuple[str, ...]) -> list[Condition]:
    if session is None:
        return []
    return [
        Condition(
            "person_key IN {session_persons:Array(String)}"
            " AND timestamp_ms BETWEEN {session_start_ms:Int64} AND {session_end_ms:Int64}",
            {
                "session_persons": list(keys or (session.person_key,)),
                "session_start_ms": session.start_ms,
                "session_end_ms": session.end_ms,
            },
        )
    ]


_HASHES: Final = """arrayMap(
    property -> cityHash64(property.1, ifNull(toString(toFloat64OrNull(property.2)), property.2)),
    JSONExtractKeysAndValues(properties, 'String')
)"""
"""To the letter what the index `by_property` is made of."""


def property_condition(index: int, name: str, value: str) -> Condition:
    """The property `name` at the top of the object equals `value`.

    A string is compared with the value as it is, anything else by its JSON text (`true`, `null`, `12`), and a number
    also by what it amounts to, so 19.9 finds 19.90. Before that, an index of hashes says where it cannot be; of nulls
    it knows nothing. `index` keeps the parameters of several conditions apart.
    """
    property_name, text, number = f"property_{index}", f"property_{index}_text", f"property_{index}_number"
    name_sql, text_sql = f"{{{property_name}:String}}", f"{{{text}:String}}"
    alternatives = [
        f"if(JSONType(properties, {name_sql}) = 'String', JSONExtractString(properties, {name_sql}),"
        f" JSONExtractRaw(properties, {name_sql})) = {text_sql}"
    ]
    parameters: dict[str, Any] = {property_name: name, text: value}
    if _NUMBER.match(value):
        alternatives.append(
            f"(JSONType(properties, {name_sql}) IN ('Int64', 'UInt64', 'Double')"
            f" AND JSONExtractFloat(properties, {name_sql}) = {{{number}:Float64}})"
        )
        parameters[number] = float(value)
    exact = f"JSONHas(properties, {name_sql}) AND ({' OR '.join(alternatives)})"
    if value == "null":
        return Condition(exact, parameters)
    wanted = f"cityHash64({name_sql}, ifNull(toString(toFloat64OrNull({text_sql})), {text_sql}))"
    found = f"has({_HASHES}, {wanted}) AND {exact}"
    if _PLAIN.match(value) and not _NUMERIC.match(value):
        # Written as it is, unless the caller escaped even letters: far cheaper to look for than to parse.
        found = rf"(position(properties, {text_sql}) > 0 OR position(properties, '\\u') > 0) AND {found}"
    return Condition(found, parameters)


def event_page(rows: list[EventRow], page: Page, meta: Meta, list_name: str = LIST_NAME) -> EventList:
    kept, next_cursor = cut(list_name, rows, page, lambda row: Position(row.timestamp_ms, row.event_id))
    return {"items": events_of(kept), "next_cursor": next_cursor, "meta": meta}


def events_of(rows: Iterable[EventRow]) -> list[Event]:
    return [event_of(row) for row in rows]


def event_of(row: EventRow) -> Event:
    return {
        "event_id": row.event_id,
        "event_name": row.event_name,
        "timestamp": utc_text(row.timestamp_ms),
        "original_timestamp": utc_text(row.original_timestamp_ms) if row.original_timestamp_ms else None,
        "received_at": utc_text(row.received_us // 1000),
        "user_id": row.user_id or None,
        "anonymous_id": row.anonymous_id or None,
        "properties": msgspec.Raw(row.properties.encode()),
        "context": {
            "page": {
                "url": row.page_url or None,
                "title": row.page_title or None,
                "referrer": row.referrer or None,
            },
            "campaign": {
                "source": row.campaign_source or None,
                "medium": row.campaign_medium or None,
                "name": row.campaign_name or None,
                "term": row.campaign_term or None,
                "content": row.campaign_content or None,
            },
            "ip": row.ip or None,
            "user_agent": row.user_agent or None,
            "locale": row.locale or None,
        },
        "is_bot": row.is_bot,
    }
