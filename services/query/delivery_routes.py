"""The routes of webhooks' deliveries. `POST …/resend` beside them is the gateway's: it writes to Kafka."""

from typing import Annotated, Any, Final

from fastapi import Path, Query
from starlette.responses import Response

from pipeline.runtime.http.documents import error_responses
from pipeline.runtime.http.errors import ApiError
from pipeline.runtime.http.handlers import success_response
from schemas.errors import ErrorCode
from services.query import arguments, deliveries
from services.query.parameters import InZone
from services.query.routes import Key, Rows, Sealed, documented, meta_of, new_router

router = new_router()
_META: Final = {"complete_through": "2024-01-15T18:29:00.000+08:00", "timezone": "Asia/Shanghai"}
_LIST: Final[Any] = {"items": [deliveries.EXAMPLE], "next_cursor": None, "meta": _META}
_DETAIL: Final[Any] = {
    "delivery": deliveries.EXAMPLE,
    "payload": deliveries.EXAMPLE_PAYLOAD,
    "meta": _META,
}

DeliveryId = Annotated[str, Path(max_length=128, examples=["whd_0b9c2f6f5d3e4a1b8c7d6e5f"])]


@router.get("/webhooks/deliveries", tags=["webhooks"], **documented(deliveries.DeliveryList, _LIST))
async def list_deliveries(
    caller: Key, reader: Rows, cursors: Sealed, given: Annotated[deliveries.DeliveriesParameters, Query()]
) -> Response:
    """List deliveries to the app's endpoints, newest first, each with the log of its attempts."""
    page = arguments.page_of(given, deliveries.LIST_NAME, cursors)
    wanted = deliveries.DeliveryFilter(
        given.endpoint_id, tuple(given.type), tuple(given.status), arguments.range_of(given, caller.app)
    )
    meta = await meta_of(reader, given, caller)
    rows = await reader.rows(deliveries.list_deliveries(caller.app.app_id, wanted, page))
    return success_response(deliveries.delivery_page(rows, page, meta))


@router.get(
    "/webhooks/deliveries/{delivery_id}",
    tags=["webhooks"],
    **documented(deliveries.DeliveryDetail, _DETAIL, error_responses(ErrorCode.NOT_FOUND)),
)
async def get_delivery(
    delivery_id: DeliveryId, caller: Key, reader: Rows, given: Annotated[InZone, Query()]
) -> Response:
    """Show one delivery, with its body."""
    meta = await meta_of(reader, given, caller)
    row = await reader.first(deliveries.find_delivery(caller.app.app_id, delivery_id))
    if row is None:
        raise ApiError(ErrorCode.NOT_FOUND)
    return success_response(deliveries.delivery_detail(row, meta))
