"""The route of the performance report."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from services.query.aggregates.report_parts import refuse_long
from services.query.core.calls import ReadCall
from services.query.core.routing import documented, new_router
from services.query.reports.performance.answers import EXAMPLE, PerformanceReport
from services.query.reports.performance.parameters import PerformanceParameters, performance_query
from services.query.reports.performance.statements import performance_rows
from services.query.reports.performance.view import performance_report
from services.web.handlers import success_response

router = new_router()


@router.get("/reports/performance", tags=["reports"], **documented(PerformanceReport, EXAMPLE))
async def get_performance(call: ReadCall, given: Annotated[PerformanceParameters, Query()]) -> Response:
    """Report touches, sessions, conversions and credit per value of a dimension, and per period with `granularity`."""
    wanted = performance_query(given, call.app)
    meta = await call.meta(given)
    rows = await call.reader.rows(performance_rows(call.app_id, wanted))
    report = performance_report(wanted, rows, meta)
    refuse_long(report["items"], "granularity" if wanted.granularity else "dimension")
    return success_response(report)
