"""The journey of one person: sessions, touches, conversions, and ids that were joined, each newest first. Pure."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from pydantic import Field
from typing_extensions import TypedDict

from schemas.facts import SessionRow
from schemas.persons import id_of, is_user
from services.query.conversions.answers import EXAMPLE_LIST as EXAMPLE_CONVERSIONS
from services.query.conversions.answers import Conversion, conversion_of
from services.query.conversions.statements import ConversionFact
from services.query.core.answers import META, Meta, Text
from services.query.core.sql import Condition, Statement, Table, columns, equals, source, statement
from services.query.core.times import time_in_zone
from services.query.events.answers import EXAMPLE_DETAIL as EXAMPLE_EVENT
from services.query.events.answers import Session
from services.query.events.view import session_of
from services.query.touches.answers import EXAMPLE_TOUCH, JourneyTouch, touch_of
from services.query.touches.statements import TouchFact

MAX_FACTS: Final = 200
"""Maximum number of facts of each kind."""


class JoinedRow(msgspec.Struct):
    anonymous_id: str
    user_id: str
    linked_at_ms: int
    event_id: str
    is_owner: bool


def sessions_of(app_id: str, person_key: str) -> Statement[SessionRow]:
    """Find the sessions by their times, which stand in the table by person."""
    of_person = equals("person_key", person_key)
    times = f"SELECT start_ms FROM {source(Table.SESSIONS_BY_PERSON, of_person)}"
    return _newest(SessionRow, app_id, Table.SESSIONS, [*of_person, Condition(f"start_ms IN ({times})")], "start_ms")


def touches_of(app_id: str, person_key: str) -> Statement[TouchFact]:
    return _newest(TouchFact, app_id, Table.TOUCHES, equals("person_key", person_key), "touched_at_ms")


def conversions_of(app_id: str, person_key: str) -> Statement[ConversionFact]:
    return _newest(ConversionFact, app_id, Table.CONVERSIONS, equals("person_key", person_key), "converted_at_ms")


def joined_of(app_id: str, person_key: str) -> Statement[JoinedRow]:
    """Find the anonymous ids that were seen with a user, or the users an anonymous id was seen with."""
    column = "user_id" if is_user(person_key) else "anonymous_id"
    return _newest(JoinedRow, app_id, Table.PERSON_LINKS, equals(column, id_of(person_key)), "linked_at_ms")


def _newest(
    row_type: type[msgspec.Struct], app_id: str, table: Table, conditions: list[Condition], time: str
) -> Statement[Any]:
    sql = f"SELECT {columns(row_type)} FROM {source(table, conditions)} ORDER BY {time} DESC LIMIT {MAX_FACTS}"
    return statement(row_type, app_id, sql, conditions)


class Joined(TypedDict):
    anonymous_id: str
    user_id: str
    joined_at: Annotated[str, Field(description="Time of the first event that carried both ids.")]
    event_id: str
    is_owner: Annotated[bool, Field(description="The journey of the anonymous id is this user's.")]


class UserJourney(TypedDict):
    id: str
    user_id: Text
    sessions: Annotated[list[Session], Field(description="The newest 200, as of each of these.")]
    touches: list[JourneyTouch]
    conversions: list[Conversion]
    joined: list[Joined]
    meta: Meta


_JOINED: Final = {
    "anonymous_id": "a_7",
    "user_id": "u_42",
    "joined_at": "2024-01-15T18:25:00.000+08:00",
    "event_id": "evt_2",
    "is_owner": True,
}
EXAMPLE_JOURNEY: Final = {
    "id": "u_42",
    "user_id": "u_42",
    "sessions": [EXAMPLE_EVENT["session"]],
    "touches": [EXAMPLE_TOUCH | {"touch_id": "evt_1"}],
    "conversions": EXAMPLE_CONVERSIONS["items"],
    "joined": [_JOINED],
    "meta": META,
}


def journey_of(
    person_key: str,
    sessions: Iterable[SessionRow],
    touches: Iterable[TouchFact],
    conversions: Iterable[ConversionFact],
    joined: Iterable[JoinedRow],
    meta: Meta,
) -> UserJourney:
    own_id, zone = id_of(person_key), meta["timezone"]
    return {
        "id": own_id,
        "user_id": own_id if is_user(person_key) else None,
        "sessions": [session_of(row, zone) for row in sessions],
        "touches": [touch_of(row, zone) for row in touches],
        "conversions": [conversion_of(row, zone) for row in conversions],
        "joined": [_joined_of(row, zone) for row in joined],
        "meta": meta,
    }


def _joined_of(row: JoinedRow, zone: str) -> Joined:
    return {
        "anonymous_id": row.anonymous_id,
        "user_id": row.user_id,
        "joined_at": time_in_zone(row.linked_at_ms, zone),
        "event_id": row.event_id,
        "is_owner": row.is_owner,
    }
