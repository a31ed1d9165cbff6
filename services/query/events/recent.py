"""Events that were stored last, whatever their own time, for the console's live view.

A route of the console alone: it stands beside the API, which gateways forward, and not in its document.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from pipeline.runtime.clock import now_ms
from services.query.core.calls import ReadCall
from services.query.core.parameters import InZone, Name, PersonId
from services.query.core.sql import Condition, Statement, Table, columns, equals, peeking_statement, raw_source, source
from services.query.events.detail_statements import EventPlaceRow
from services.query.events.view import event_of
from services.web.handlers import success_response

MAX_EVENTS: Final = 50
_REACHES_MS: Final = (15 * 60_000, 86_400_000)
"""Distances that are looked back before all of the table is: what was stored lately is found by an index."""
router = APIRouter(prefix="/console", include_in_schema=False)


class RecentParameters(InZone):
    """Filters; and `after_ms`: only events stored after that time, in milliseconds since the epoch."""

    event_name: Name | None = None
    user_id: PersonId | None = None
    anonymous_id: PersonId | None = None
    after_ms: Annotated[int, Field(ge=0, lt=2**62)] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_EVENTS)] = MAX_EVENTS


@router.get("/events/recent")
async def list_recent(call: ReadCall, given: Annotated[RecentParameters, Query()]) -> Response:
    """List events by the time when they were stored, newest first, each with that time: `stored_at_ms`."""
    meta = await call.meta(given)
    rows: list[EventPlaceRow] = []
    for after_ms in _starts(given, now_ms()):
        rows = await call.reader.rows(find_recent(call.app_id, given, after_ms))
        if len(rows) == given.limit:
            break
    items: list[dict[str, Any]] = [event_of(row, meta["timezone"]) | {"stored_at_ms": row.stored_at_ms} for row in rows]
    return success_response({"items": items, "meta": meta})


def _starts(given: RecentParameters, at_ms: int) -> Iterator[int]:
    if given.after_ms is not None:
        yield given.after_ms
        return
    yield from (at_ms - reach for reach in _REACHES_MS)
    yield 0


def find_recent(app_id: str, given: RecentParameters, after_ms: int) -> Statement[EventPlaceRow]:
    """Find the events stored last, after a time. Rows as they were written tell which; each is read as it stands."""
    conditions = [
        Condition("stored_at_ms > {after_ms:Int64}", {"after_ms": after_ms}),
        *equals("event_name", given.event_name),
        *equals("user_id", given.user_id),
        *equals("anonymous_id", given.anonymous_id),
    ]
    keys = (
        f"SELECT timestamp_ms, event_id FROM {raw_source(Table.EVENTS, conditions)}"
        " ORDER BY stored_at_ms DESC LIMIT {row_limit:UInt32}"
    )
    rows = source(Table.EVENTS, [Condition(f"(timestamp_ms, event_id) IN ({keys})")])
    sql = f"SELECT {columns(EventPlaceRow)} FROM {rows} ORDER BY stored_at_ms DESC, event_id"
    return peeking_statement(EventPlaceRow, app_id, sql, conditions, row_limit=given.limit)
