"""The route of conversions."""

from typing import Annotated, Final

from fastapi import Query
from starlette.responses import Response

from services.query.conversions import statements
from services.query.conversions.answers import EXAMPLE_LIST, ConversionList, conversion_of
from services.query.conversions.parameters import ConversionsParameters, conversion_filter
from services.query.core.calls import ReadListCall
from services.query.core.lists import ResourceList
from services.query.core.routing import documented, new_router

CONVERSIONS: Final = ResourceList(
    "conversions", conversion_filter, statements.list_conversions, statements.ORDER, conversion_of
)
router = new_router()


@router.get("/conversions", tags=["conversions"], **documented(ConversionList, EXAMPLE_LIST))
async def list_conversions(call: ReadListCall, given: Annotated[ConversionsParameters, Query()]) -> Response:
    """List conversions, newest first."""
    return await call.answer(CONVERSIONS, given)
