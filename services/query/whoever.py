"""Look up the person an id means, the keys of the person's events, and the outcome of a refund, in several tables."""

import asyncio

from schemas.control import App
from services.query import events, people, refunds, users
from services.query.answers import RefundOutcome
from services.query.reader import Reader


async def person(app_id: str, reader: Reader, given_id: str) -> str | None:
    """Return the key of the person an id means; an anonymous id means its owner."""
    found, owners = await asyncio.gather(
        reader.rows(users.find_persons(app_id, given_id)), reader.rows(people.owners_of(app_id, given_id))
    )
    if not found and not owners:
        found = await reader.rows(users.find_seen_with(app_id, given_id))
    return people.choose(given_id, found, owners)


async def owner_key(app_id: str, reader: Reader, person_key: str) -> str | None:
    """Return the owner's key of an anonymous person who turned out to be a user."""
    if not person_key.startswith(users.ANONYMOUS_PREFIX):
        return None
    anonymous_id = person_key.removeprefix(users.ANONYMOUS_PREFIX)
    owner = await reader.first(people.owners_of(app_id, anonymous_id))
    return users.USER_PREFIX + owner.user_id if owner else None


async def event_keys(app_id: str, reader: Reader, person_key: str) -> tuple[str, ...]:
    user_ids = people.user_ids_of([person_key])
    links = await reader.rows(people.links_of(app_id, user_ids)) if user_ids else []
    return people.event_keys(person_key, links)


async def session(app_id: str, reader: Reader, session_id: str) -> tuple[events.SessionPlace, tuple[str, ...]] | None:
    """Find a session's place, and the keys its events were accepted under. None: there is no such session."""
    place = await reader.first(events.session_place(app_id, session_id))
    return None if place is None else (place, await event_keys(app_id, reader, place.person_key))


async def with_links(app_id: str, reader: Reader, rows: list[users.UserRow]) -> list[users.UserRow]:
    user_ids = people.user_ids_of(row.person_key for row in rows)
    links = await reader.rows(people.links_of(app_id, user_ids)) if user_ids else []
    return people.with_links(rows, links)


async def refund_outcome(app: App, reader: Reader, event: events.EventRow, zone: str) -> RefundOutcome | None:
    """Read the outcome; None of an event that is no refund."""
    if not refunds.is_refund(event):
        return None
    found = refunds.find_parts(app.app_id, event)
    parts = await reader.rows(found) if found is not None else []
    return refunds.outcome(event, parts, app, zone)
