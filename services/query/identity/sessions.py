"""Place of a session: its person and its times, by which its events are found. Pure.

An event carries no session id, because sessions can be restated.
"""

from typing import Final, NamedTuple

import msgspec

from services.query.core.sql import Condition, Statement, Table, columns, equals, source, statement

LONGEST_SESSION_MS: Final = 48 * 3600 * 1000
"""Sessions last 24 h at most; a conversion's session began no earlier than this before it."""


class SessionPlace(msgspec.Struct):
    person_key: str
    start_ms: int
    end_ms: int


class FoundSession(NamedTuple):
    place: SessionPlace
    person_keys: tuple[str, ...]
    """Keys its events were accepted under: the person's own, and those of the anonymous ids the person owns."""

    def around(self) -> Condition:
        """Return the condition that an event lies between its ends."""
        return Condition(
            "timestamp_ms BETWEEN {session_start_ms:Int64} AND {session_end_ms:Int64}",
            {"session_start_ms": self.place.start_ms, "session_end_ms": self.place.end_ms},
        )

    def conditions(self) -> list[Condition]:
        """Return the conditions of its events."""
        keys = {"session_keys": list(self.person_keys)}
        return [Condition("person_key IN {session_keys:Array(String)}", keys), self.around()]


def session_place(app_id: str, session_id: str) -> Statement[SessionPlace]:
    conditions = equals("session_id", session_id)
    sql = f"SELECT {columns(SessionPlace)} FROM {source(Table.SESSIONS, conditions)} LIMIT 1"
    return statement(SessionPlace, app_id, sql, conditions)
