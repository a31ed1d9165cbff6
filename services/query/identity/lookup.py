"""Look up in the tables: the person an id means, the keys of the person's events, and the place of a session."""

import asyncio

from schemas.persons import ANONYMOUS, USER, id_of
from services.query.core.reader import AnswerReader
from services.query.identity import person_links
from services.query.identity.person_links import LinkRow
from services.query.identity.sessions import FoundSession, session_place


async def find_person_key(app_id: str, reader: AnswerReader, given_id: str) -> str | None:
    """Return the key of the person an id means; an anonymous id means its owner."""
    found, owners = await asyncio.gather(
        reader.rows(person_links.find_persons(app_id, given_id)), reader.rows(person_links.owners_of(app_id, given_id))
    )
    if not found and not owners:
        found = await reader.rows(person_links.find_seen_with(app_id, given_id))
    return person_links.choose(given_id, found, owners)


async def find_owner_key(app_id: str, reader: AnswerReader, person_key: str) -> str | None:
    """Return the owner's key of an anonymous person who turned out to be a user."""
    if not person_key.startswith(ANONYMOUS):
        return None
    anonymous_id = id_of(person_key)
    owner = await reader.first(person_links.owners_of(app_id, anonymous_id))
    return USER + owner.user_id if owner else None


async def find_links(app_id: str, reader: AnswerReader, person_keys: list[str]) -> list[LinkRow]:
    """Return the links of those of the persons who are users."""
    user_ids = person_links.user_ids_of(person_keys)
    return await reader.rows(person_links.links_of(app_id, user_ids)) if user_ids else []


async def find_event_keys(app_id: str, reader: AnswerReader, person_key: str) -> tuple[str, ...]:
    """Return the keys that the person's events were accepted under."""
    return person_links.event_keys(person_key, await find_links(app_id, reader, [person_key]))


async def find_session(app_id: str, reader: AnswerReader, session_id: str) -> FoundSession | None:
    """Return the place of a session, and the keys its events were accepted under; None if there is no such session."""
    place = await reader.first(session_place(app_id, session_id))
    if place is None:
        return None
    return FoundSession(place, await find_event_keys(app_id, reader, place.person_key))
