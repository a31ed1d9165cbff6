"""The routes of users: the list, one of them, and their events."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Final

from fastapi import Path, Query
from starlette.responses import Response

from schemas.errors import ErrorCode
from schemas.persons import ANONYMOUS, USER
from services.query.core.calls import Call, ReadCall, ReadListCall, required
from services.query.core.encoded_slashes import WithSlashes
from services.query.core.lists import ResourceList
from services.query.core.parameters import InZone
from services.query.core.routing import NOT_FOUND, documented, new_router
from services.query.core.rows import Found
from services.query.events import statements as event_statements
from services.query.events.answers import EXAMPLE_LIST as EXAMPLE_EVENTS
from services.query.events.answers import EventList
from services.query.events.parameters import UserEventsParameters, user_event_filter
from services.query.events.statements import EventRow
from services.query.events.view import event_of
from services.query.identity.lookup import find_event_keys, find_links, find_person_key
from services.query.users import statements
from services.query.users.answers import (
    EXAMPLE_DETAIL,
    EXAMPLE_LIST,
    UserDetail,
    UserList,
    less_refunds,
    user_detail,
    user_of,
    with_links,
)
from services.query.users.journeys import (
    EXAMPLE_JOURNEY,
    UserJourney,
    conversions_of,
    joined_of,
    journey_of,
    sessions_of,
    touches_of,
)
from services.query.users.parameters import UsersParameters, user_filter
from services.web.errors import ApiError
from services.web.handlers import success_response

UserId = Annotated[WithSlashes, Path(max_length=200, description="A user id or an anonymous id.", examples=["u_42"])]
USERS: Final = ResourceList("users", user_filter, statements.list_users, statements.ORDER, user_of)
USER_EVENTS: Final = ResourceList(
    "user_events", user_event_filter, event_statements.list_events, event_statements.ORDER, event_of
)
router = new_router()


@router.get("/users", tags=["users"], **documented(UserList, EXAMPLE_LIST))
async def list_users(call: ReadListCall, given: Annotated[UsersParameters, Query()]) -> Response:
    """List people with sessions, the most recently first seen first; `from` and `to` are about that first time."""
    asked = await call.ask(USERS, given)
    pieces = asked.pieces(asked.wanted)
    return await asked.answer(
        Found(await _completed(call, found.rows, given.include_bots), found.is_cut) async for found in pieces
    )


@router.get("/users/{user_id}", tags=["users"], **documented(UserDetail, EXAMPLE_DETAIL, NOT_FOUND))
async def get_user(user_id: UserId, call: ReadCall, given: Annotated[InZone, Query()]) -> Response:
    """Show one person, known from the first session on, which follows the first event after about a second."""
    meta = await call.meta(given)
    person = required(await find_person_key(call.app_id, call.reader, user_id))
    row = required(await call.reader.first(statements.find_user(call.app_id, person)))
    (row,) = await _completed(call, [row], include_bots=True)
    return success_response(user_detail(row, meta))


@router.get("/users/{user_id}/journey", tags=["users"], **documented(UserJourney, EXAMPLE_JOURNEY, NOT_FOUND))
async def get_journey(user_id: UserId, call: ReadCall, given: Annotated[InZone, Query()]) -> Response:
    """Show a person's newest sessions, touches and conversions, and the ids that were joined to one person."""
    meta = await call.meta(given)
    person = required(await find_person_key(call.app_id, call.reader, user_id))
    sessions, touches, conversions, joined = await asyncio.gather(
        call.reader.rows(sessions_of(call.app_id, person)),
        call.reader.rows(touches_of(call.app_id, person)),
        call.reader.rows(conversions_of(call.app_id, person)),
        call.reader.rows(joined_of(call.app_id, person)),
    )
    return success_response(journey_of(person, sessions, touches, conversions, joined, meta))


async def _completed(call: Call, rows: list[statements.UserRow], include_bots: bool) -> list[statements.UserRow]:
    """Take refunds off the values, and add the linked ids."""
    refunded = [row.person_key for row in rows if row.totals_minor]
    if refunded:
        found_refunds = statements.find_refunds(call.app_id, refunded, include_bots)
        rows = less_refunds(rows, await call.reader.rows(found_refunds))
    return with_links(rows, await find_links(call.app_id, call.reader, [row.person_key for row in rows]))


@router.get("/users/{user_id}/events", tags=["users"], **documented(EventList, EXAMPLE_EVENTS, NOT_FOUND))
async def list_user_events(
    user_id: UserId, call: ReadListCall, given: Annotated[UserEventsParameters, Query()]
) -> Response:
    """List a person's events, newest first."""
    asked = await call.ask(USER_EVENTS, given)
    person = await find_person_key(call.app_id, call.reader, user_id)
    # Before the first session there may be events: they are found by the id itself.
    keys: tuple[str, ...] = (USER + user_id, ANONYMOUS + user_id)
    if person:
        keys = await find_event_keys(call.app_id, call.reader, person)
    return await asked.answer(_known(asked.pieces(replace(asked.wanted, person_keys=keys)), person is not None))


async def _known(pieces: AsyncIterator[Found[EventRow]], is_known: bool) -> AsyncIterator[Found[EventRow]]:
    """Pass the pieces on. Raises `ApiError` (NOT_FOUND) if there is no row of one who is not known."""
    async for found in pieces:
        if not found.rows and not is_known:
            raise ApiError(ErrorCode.NOT_FOUND)
        is_known = True
        yield found
