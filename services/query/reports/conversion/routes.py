"""The route of the conversion report."""

import asyncio
from collections.abc import Iterable
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from schemas.control import Goal
from services.query.core.answer_text import large_success
from services.query.core.answers import Meta
from services.query.core.calls import Call, ReadCall
from services.query.core.parameters import zone_of
from services.query.core.routing import documented, new_router
from services.query.reports.conversion.answers import EXAMPLE, ConversionReport, Funnel
from services.query.reports.conversion.funnels import FunnelQuery, funnel_of, funnel_rows, stopped_rows
from services.query.reports.conversion.parameters import ConversionReportParameters, conversion_query, funnel_query
from services.query.reports.conversion.statements import ConversionQuery, ConversionRow, conversion_rows
from services.query.reports.conversion.view import conversion_report
from services.web.handlers import response_of

router = new_router()


@router.get("/reports/conversion", tags=["reports"], **documented(ConversionReport, EXAMPLE))
async def get_conversion_report(call: ReadCall, given: Annotated[ConversionReportParameters, Query()]) -> Response:
    """Report per goal the number, value, time and paths of conversions; with `steps`, where people stop on the way."""
    wanted = conversion_query(given, call.app)
    steps = funnel_query(given, call.app)
    meta = await call.meta(given)
    reading = call.reader.rows(conversion_rows(call.app_id, wanted))
    rows, funnel = await asyncio.gather(reading, _funnel(call, steps, zone_of(given, call.app)))
    return await asyncio.to_thread(_answer, wanted, call.app.goals, rows, funnel, meta)


def _answer(
    wanted: ConversionQuery, goals: Iterable[Goal], rows: list[ConversionRow], funnel: Funnel | None, meta: Meta
) -> Response:
    return response_of(large_success(conversion_report(wanted, goals, rows, funnel, meta)))


async def _funnel(call: Call, wanted: FunnelQuery | None, zone: str) -> Funnel | None:
    if wanted is None:
        return None
    rows = await call.reader.rows(funnel_rows(call.app_id, wanted))
    stopped = [] if wanted.stopped_after is None else await call.reader.rows(stopped_rows(call.app_id, wanted))
    return funnel_of(wanted, rows, stopped, zone)
