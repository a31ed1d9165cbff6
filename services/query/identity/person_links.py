"""Ids and persons: the person that an id means, by `person_links` and sessions. Pure.

`person_links` is the stream's own account of which user owns an anonymous id. Facts of the stream (sessions, touches,
conversions) are written again under the user's key when a journey moves. Events stay as they were accepted, so a user's
events are looked for under the user's key and under those of the anonymous ids the user owns.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from schemas.persons import ANONYMOUS, ANONYMOUS_KEY_SQL, USER, USER_KEY_SQL, id_of, is_user
from services.query.core.sql import Condition, Statement, Table, source, statement

MAX_OWNED_IDS: Final = 1_000
"""Maximum number of ids of one user; the newest."""


class PersonRow(msgspec.Struct):
    person_key: str
    last_seen_ms: int


class LinkRow(msgspec.Struct):
    anonymous_id: str
    user_id: str
    is_owner: bool


def find_persons(app_id: str, given_id: str) -> Statement[PersonRow]:
    """Find the user of that id and the anonymous visitor of that id."""
    keys = [USER + given_id, ANONYMOUS + given_id]
    where = [Condition("person_key IN {persons:Array(String)}", {"persons": keys})]
    sql = f"""SELECT person_key, max(end_ms) AS last_seen_ms FROM {source(Table.SESSIONS_BY_PERSON, where)}
GROUP BY person_key"""
    return statement(PersonRow, app_id, sql, where)


def find_seen_with(app_id: str, given_id: str) -> Statement[PersonRow]:
    """Find users with sessions that show that anonymous id."""
    where = [Condition("anonymous_id = {given_id:String}", {"given_id": given_id})]
    sql = f"""SELECT person_key, max(end_ms) AS last_seen_ms FROM {source(Table.SESSIONS, where)}
GROUP BY person_key ORDER BY last_seen_ms DESC LIMIT 100"""
    return statement(PersonRow, app_id, sql, where)


def owners_of(app_id: str, anonymous_id: str) -> Statement[LinkRow]:
    """Find the user an anonymous id belongs to, if any."""
    where = [Condition("anonymous_id = {anonymous_id:String} AND is_owner", {"anonymous_id": anonymous_id})]
    sql = f"SELECT anonymous_id, user_id, is_owner FROM {source(Table.PERSON_LINKS, where)} LIMIT 1"
    return statement(LinkRow, app_id, sql, where)


def owner_hashes() -> str:
    """Return a subquery: the `person_hash` of every anonymous id that is a user's, and the user's own as
    `owner_hash`.
    """
    owned = source(Table.PERSON_LINKS, [Condition("is_owner")])
    return f"""(
    SELECT sipHash64({ANONYMOUS_KEY_SQL}) AS person_hash,
        sipHash64({USER_KEY_SQL}) AS owner_hash
    FROM {owned}
)"""


def links_of(app_id: str, user_ids: Iterable[str]) -> Statement[LinkRow]:
    """Find the anonymous ids these users were seen with, the newest first."""
    where = [Condition("user_id IN {user_ids:Array(String)}", {"user_ids": list(user_ids)})]
    sql = f"""SELECT anonymous_id, user_id, is_owner FROM {source(Table.PERSON_LINKS, where)}
ORDER BY linked_at_ms DESC LIMIT {MAX_OWNED_IDS} BY user_id"""
    return statement(LinkRow, app_id, sql, where)


def choose(given_id: str, found: list[PersonRow], owners: list[LinkRow]) -> str | None:
    """Return the key of the person an id means: the user of that id, else the owner of that anonymous id, else who has
    it.
    """
    is_user = any(row.person_key == USER + given_id for row in found)
    if owners and not is_user:
        return USER + owners[0].user_id
    return choose_person(given_id, found)


def choose_person(given_id: str, found: list[PersonRow]) -> str | None:
    """Choose the user of that id before the anonymous visitor, and either before a user who only shared the anonymous
    id.
    """
    keys = [row.person_key for row in sorted(found, key=lambda row: row.last_seen_ms, reverse=True)]
    for key in (USER + given_id, ANONYMOUS + given_id):
        if key in keys:
            return key
    return keys[0] if keys else None


def user_ids_of(person_keys: Iterable[str]) -> list[str]:
    return [id_of(key) for key in person_keys if is_user(key)]


def event_keys(person_key: str, links: Iterable[LinkRow]) -> tuple[str, ...]:
    """Return the person keys a user's events were accepted under."""
    user_id = id_of(person_key)
    owned = (ANONYMOUS + link.anonymous_id for link in links if link.is_owner and link.user_id == user_id)
    return (person_key, *owned)
