"""The route of the performance report."""

import asyncio
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from services.query.aggregates.report_parts import ReportRow, refuse_long
from services.query.core.answer_text import large_success
from services.query.core.answers import Meta
from services.query.core.calls import ReadCall
from services.query.core.routing import documented, new_router
from services.query.reports.performance.answers import EXAMPLE, PerformanceReport
from services.query.reports.performance.parameters import PerformanceParameters, performance_query
from services.query.reports.performance.statements import PerformanceQuery, performance_rows
from services.query.reports.performance.view import performance_report
from services.web.handlers import response_of

router = new_router()


@router.get("/reports/performance", tags=["reports"], **documented(PerformanceReport, EXAMPLE))
async def get_performance(call: ReadCall, given: Annotated[PerformanceParameters, Query()]) -> Response:
    """Report touches, sessions, conversions and credit per value of a dimension, and per period with `granularity`."""
    wanted = performance_query(given, call.app)
    meta = await call.meta(given)
    rows = await call.reader.rows(performance_rows(call.app_id, wanted))
    return await asyncio.to_thread(_answer, wanted, rows, meta)


def _answer(wanted: PerformanceQuery, rows: list[ReportRow], meta: Meta) -> Response:
    report = performance_report(wanted, rows, meta)
    refuse_long(report["items"], "granularity" if wanted.granularity else "dimension")
    return response_of(large_success(report))
