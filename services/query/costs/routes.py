"""The route of costs."""

from typing import Annotated, Final

from fastapi import Query
from starlette.responses import Response

from services.query.core.calls import ReadListCall
from services.query.core.lists import ResourceList
from services.query.core.routing import documented, new_router
from services.query.costs import statements
from services.query.costs.answers import EXAMPLE_LIST, CostList, cost_of
from services.query.costs.parameters import CostsParameters, cost_filter

COSTS: Final = ResourceList("costs", cost_filter, statements.list_costs, statements.ORDER, cost_of)
router = new_router()


@router.get("/costs", tags=["reports"], **documented(CostList, EXAMPLE_LIST))
async def list_costs(call: ReadListCall, given: Annotated[CostsParameters, Query()]) -> Response:
    """List stored imported costs, newest date first. `attrikit costs import | remove` changes them."""
    return await call.answer(COSTS, given)
