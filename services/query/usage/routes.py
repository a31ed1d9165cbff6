"""Requests of an app in the UTC day, as its plan limits them, for the console.

A route of the console alone: it stands beside the API, which gateways forward, and not in its document. The number is
that of all gateways together, and a second or two old; each of them enforces the limit by a count of its own, or by one
in Redis.
"""

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from pipeline.runtime.clock import now_ms
from services.query.core.calls import ReadCall
from services.query.core.sql import Statement, Table, source, statement, within
from services.query.core.times import TimeRange
from services.web.handlers import success_response
from services.web.quota.rules import DAY_MS

router = APIRouter(prefix="/console", include_in_schema=False)


class RequestsRow(msgspec.Struct):
    requests: int


@router.get("/usage")
async def show_usage(call: ReadCall) -> Response:
    """Answer with the requests of today, and when the day ends."""
    at_ms = now_ms()
    day = TimeRange(at_ms - at_ms % DAY_MS, at_ms - at_ms % DAY_MS + DAY_MS)
    row = await call.reader.first(count_requests(call.app_id, day))
    assert row is not None
    return success_response({"requests": row.requests, "resets_at_ms": day.to_ms})


def count_requests(app_id: str, day: TimeRange) -> Statement[RequestsRow]:
    conditions = within("minute_ms", day)
    sql = f"SELECT sum(requests) AS requests FROM {source(Table.GATEWAY_COUNTS, conditions)}"
    return statement(RequestsRow, app_id, sql, conditions)
