"""The route of alerts."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from pipeline.runtime.http.handlers import success_response
from services.query import alerts, arguments
from services.query.routes import Key, Rows, Sealed, documented, meta_of, new_router

router = new_router()


@router.get("/alerts", tags=["alerts"], **documented(alerts.AlertList, alerts.EXAMPLE))
async def list_alerts(
    caller: Key, reader: Rows, cursors: Sealed, given: Annotated[alerts.AlertsParameters, Query()]
) -> Response:
    """List when alert rules began to hold and when they stopped, newest first."""
    page = arguments.page_of(given, alerts.LIST_NAME, cursors)
    metrics = tuple(dict.fromkeys(metric.value for metric in given.metric))
    state = given.state.value if given.state is not None else None
    wanted = alerts.AlertFilter(given.rule_id, metrics, state, arguments.range_of(given, caller.app))
    meta = await meta_of(reader, given, caller)
    rows = await reader.rows(alerts.list_alerts(caller.app.app_id, wanted, page))
    return success_response(alerts.alert_page(rows, page, meta))
