"""The routes of events: the list, and one event with what became of it."""

import asyncio
from dataclasses import replace
from typing import Annotated, Final

from fastapi import Path, Query
from starlette.responses import Response

from services.query.core.calls import Call, ReadCall, ReadListCall, no_rows, required
from services.query.core.lists import ResourceList
from services.query.core.parameters import InZone
from services.query.core.routing import NOT_FOUND, documented, new_router
from services.query.events import detail_statements, refunds, statements
from services.query.events.answers import EXAMPLE_DETAIL, EXAMPLE_LIST, EventDetail, EventList, RefundOutcome
from services.query.events.parameters import PROPERTIES, EventsParameters, event_filter
from services.query.events.view import event_detail, event_of, facts_of
from services.query.identity.lookup import find_owner_key, find_session
from services.web.handlers import success_response

EventId = Annotated[str, Path(max_length=128, examples=["evt_01hm5rxqe0x5jw3kq8n4v2t6yz"])]
EVENTS: Final = ResourceList("events", event_filter, statements.list_events, statements.ORDER, event_of)
router = new_router()


@router.get(
    "/events", tags=["events"], openapi_extra={"parameters": [PROPERTIES]}, **documented(EventList, EXAMPLE_LIST)
)
async def list_events(call: ReadListCall, given: Annotated[EventsParameters, Query()]) -> Response:
    """List events, newest first. An event is in a session if its person and time are; an unknown session has none."""
    asked = await call.ask(EVENTS, given)
    if given.session_id is None:
        return await asked.answer(asked.pieces(asked.wanted))
    session = await find_session(call.app_id, call.reader, given.session_id)
    return await asked.answer(asked.pieces(replace(asked.wanted, session=session)) if session else no_rows())


@router.get("/events/{event_id}", tags=["events"], **documented(EventDetail, EXAMPLE_DETAIL, NOT_FOUND))
async def get_event(event_id: EventId, call: ReadCall, given: Annotated[InZone, Query()]) -> Response:
    """Show one event, its session, and how far it has come: accepted, stored, sessionised, converted, attributed,
    delivered to a webhook.
    """
    app_id, reader = call.app_id, call.reader
    meta = await call.meta(given)
    event = required(await reader.first(detail_statements.find_event(app_id, event_id)))
    owner = await find_owner_key(app_id, reader, event.person_key)
    session, conversions, marks, refund = await asyncio.gather(
        reader.first(detail_statements.find_session(app_id, event, owner or event.person_key)),
        reader.rows(detail_statements.find_conversions(app_id, event)),
        reader.rows(detail_statements.count_marks(app_id, event_id)),
        _refund_outcome(call, event, meta["timezone"]),
    )
    ids = tuple(conversion.conversion_id for conversion in conversions)
    attributed, delivered = await _of_conversions(call, ids) if ids else ([], [])
    return success_response(
        event_detail(facts_of(event, session, conversions, attributed, delivered, marks, refund), meta)
    )


async def _of_conversions(
    call: Call, ids: tuple[str, ...]
) -> tuple[list[detail_statements.AttributionOfEvent], list[detail_statements.DeliveredRow]]:
    return await asyncio.gather(
        call.reader.rows(detail_statements.find_attributed(call.app_id, ids)),
        call.reader.rows(detail_statements.find_delivered(call.app_id, ids)),
    )


async def _refund_outcome(call: Call, event: statements.EventRow, zone: str) -> RefundOutcome | None:
    """Read the outcome of a refund; None of an event that is no refund."""
    if not refunds.is_refund(event):
        return None
    parts = refunds.find_parts(call.app_id, event)
    return refunds.outcome(event, await call.reader.rows(parts) if parts else [], call.app, zone)
