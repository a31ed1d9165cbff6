"""The routes of webhooks' deliveries. `POST …/resend` beside them is the gateway's: it writes to Kafka."""

from typing import Annotated, Final

from fastapi import Path, Query
from starlette.responses import Response

from services.query.core.calls import ReadCall, ReadListCall, required
from services.query.core.lists import ResourceList
from services.query.core.parameters import InZone
from services.query.core.routing import NOT_FOUND, documented, new_router
from services.query.deliveries import statements
from services.query.deliveries.answers import (
    EXAMPLE_DETAIL,
    EXAMPLE_LIST,
    DeliveryDetail,
    DeliveryList,
    delivery_detail,
    delivery_of,
)
from services.query.deliveries.parameters import DeliveriesParameters, delivery_filter
from services.web.handlers import success_response

DeliveryId = Annotated[str, Path(max_length=128, examples=["whd_0b9c2f6f5d3e4a1b8c7d6e5f"])]
DELIVERIES: Final = ResourceList(
    "deliveries", delivery_filter, statements.list_deliveries, statements.ORDER, delivery_of
)
router = new_router()


@router.get("/webhooks/deliveries", tags=["webhooks"], **documented(DeliveryList, EXAMPLE_LIST))
async def list_deliveries(call: ReadListCall, given: Annotated[DeliveriesParameters, Query()]) -> Response:
    """List deliveries to the app's endpoints, newest first, each with the log of its attempts."""
    return await call.answer(DELIVERIES, given)


@router.get(
    "/webhooks/deliveries/{delivery_id}", tags=["webhooks"], **documented(DeliveryDetail, EXAMPLE_DETAIL, NOT_FOUND)
)
async def get_delivery(delivery_id: DeliveryId, call: ReadCall, given: Annotated[InZone, Query()]) -> Response:
    """Show one delivery, with its body."""
    meta = await call.meta(given)
    row = required(await call.reader.first(statements.find_delivery(call.app_id, delivery_id)))
    return success_response(delivery_detail(row, meta))
