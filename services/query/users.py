"""People, from their sessions: lists and one of them. Pure.

The list is ordered by when a person was first seen, newest first: unlike the last sighting that hardly ever changes,
so a walk through the pages meets everybody once while data arrives.
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from services.query.answers import Meta, User, UserDetail, UserList
from services.query.cursors import Position
from services.query.numbers import money_by_currency
from services.query.pages import Page, cut
from services.query.sql import Condition, Statement, Table, newest_first, older_than, one_of, source, statement, within
from services.query.times import TimeRange, utc_text

LIST_NAME: Final = "users"
MAX_LINKED_IDS: Final = 100
USER_PREFIX: Final = "u:"
ANONYMOUS_PREFIX: Final = "a:"


class UserRow(msgspec.Struct):
    person_key: str
    linked_ids: list[str]
    first_seen_ms: int
    last_seen_ms: int
    session_count: int
    event_count: int
    page_view_count: int
    conversion_count: int
    totals_minor: dict[str, int]
    first_channel: str
    last_channel: str


class PersonRow(msgspec.Struct):
    person_key: str
    last_seen_ms: int


@dataclass(frozen=True)
class UserFilter:
    person_keys: tuple[str, ...] = ()
    first_seen: TimeRange = field(default_factory=TimeRange)


_SELECT: Final = f"""SELECT person_key,
    arraySort(groupUniqArrayIf({MAX_LINKED_IDS})(anonymous_id, anonymous_id != '')) AS linked_ids,
    min(start_ms) AS first_seen_ms,
    max(end_ms) AS last_seen_ms,
    count() AS session_count,
    sum(events) AS event_count,
    sum(page_views) AS page_view_count,
    sum(conversions) AS conversion_count,
    sumMap(values_minor) AS totals_minor,
    argMin(channel, (start_ms, session_id)) AS first_channel,
    argMax(channel, (start_ms, session_id)) AS last_channel"""


def list_users(app_id: str, wanted: UserFilter, page: Page) -> Statement[UserRow]:
    where = one_of("person_key", wanted.person_keys)
    having = [*within("first_seen_ms", wanted.first_seen), *older_than("first_seen_ms", "person_key", page.after)]
    sql = (
        f"{_SELECT} FROM {source(Table.SESSIONS, where)} GROUP BY person_key"
        + (f" HAVING {' AND '.join(condition.sql for condition in having)}" if having else "")
        + newest_first("first_seen_ms", "person_key")
    )
    return statement(UserRow, app_id, sql, [*where, *having], row_limit=page.row_limit)


def find_persons(app_id: str, given_id: str) -> Statement[PersonRow]:
    """Everybody an id may mean: the user of that id, the anonymous visitor of that id, a user linked with it."""
    where = [
        Condition(
            "(person_key IN {persons:Array(String)} OR anonymous_id = {given_id:String})",
            {"persons": [USER_PREFIX + given_id, ANONYMOUS_PREFIX + given_id], "given_id": given_id},
        )
    ]
    sql = (
        f"SELECT person_key, max(end_ms) AS last_seen_ms FROM {source(Table.SESSIONS, where)} GROUP BY person_key"
        " ORDER BY last_seen_ms DESC LIMIT 100"
    )
    return statement(PersonRow, app_id, sql, where)


def choose_person(given_id: str, found: list[PersonRow]) -> str | None:
    """The user of that id before the anonymous visitor, and either before a user who only shared the anonymous id."""
    keys = [row.person_key for row in sorted(found, key=lambda row: row.last_seen_ms, reverse=True)]
    for key in (USER_PREFIX + given_id, ANONYMOUS_PREFIX + given_id):
        if key in keys:
            return key
    return keys[0] if keys else None


def user_page(rows: list[UserRow], page: Page, meta: Meta) -> UserList:
    kept, next_cursor = cut(LIST_NAME, rows, page, lambda row: Position(row.first_seen_ms, row.person_key))
    return {"items": [user_of(row) for row in kept], "next_cursor": next_cursor, "meta": meta}


def user_detail(row: UserRow, meta: Meta) -> UserDetail:
    return {"user": user_of(row), "meta": meta}


def user_of(row: UserRow) -> User:
    own_id = row.person_key[len(USER_PREFIX) :]
    is_user = row.person_key.startswith(USER_PREFIX)
    return {
        "id": own_id,
        "user_id": own_id if is_user else None,
        "linked_ids": row.linked_ids,
        "first_seen": utc_text(row.first_seen_ms),
        "last_seen": utc_text(row.last_seen_ms),
        "sessions": row.session_count,
        "events": row.event_count,
        "page_views": row.page_view_count,
        "conversions": row.conversion_count,
        "values": money_by_currency(row.totals_minor),
        "first_channel": row.first_channel or None,
        "last_channel": row.last_channel or None,
    }
