"""The route of refused events."""

from typing import Annotated, Final

from fastapi import Query
from starlette.responses import Response

from services.query.core.calls import ReadListCall
from services.query.core.lists import ResourceList
from services.query.core.routing import documented, new_router
from services.query.rejected import statements
from services.query.rejected.answers import EXAMPLE_LIST, RejectedList, rejected_event_of
from services.query.rejected.parameters import RejectedParameters, rejected_filter

REJECTED: Final = ResourceList(
    "rejected", rejected_filter, statements.list_rejected, statements.ORDER, rejected_event_of
)
router = new_router()


@router.get("/events/rejected", tags=["events"], **documented(RejectedList, EXAMPLE_LIST))
async def list_rejected(call: ReadListCall, given: Annotated[RejectedParameters, Query()]) -> Response:
    """List refused events, newest first, with reason and payload. `attrikit rejected replay` sends them again after a
    fix.
    """
    return await call.answer(REJECTED, given)
