"""The route of alerts."""

from typing import Annotated, Final

from fastapi import Query
from starlette.responses import Response

from services.query.alerts import statements
from services.query.alerts.answers import EXAMPLE_LIST, AlertList, alert_of
from services.query.alerts.parameters import AlertsParameters, alert_filter
from services.query.core.calls import ReadListCall
from services.query.core.lists import ResourceList
from services.query.core.routing import documented, new_router

ALERTS: Final = ResourceList("alerts", alert_filter, statements.list_alerts, statements.ORDER, alert_of)
router = new_router()


@router.get("/alerts", tags=["alerts"], **documented(AlertList, EXAMPLE_LIST))
async def list_alerts(call: ReadListCall, given: Annotated[AlertsParameters, Query()]) -> Response:
    """List when alert rules began to hold and when they stopped, newest first."""
    return await call.answer(ALERTS, given)
