"""The ledger of one app over the last day: what gateways accepted, and what the tables have of it, for the console.

A route of the console alone: it stands beside the API, which gateways forward, and not in its document. `attrikit
ledger` compares all of time, event by event, with the topics as a third witness.
"""

from typing import Any, Final

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from pipeline.runtime.clock import now_ms
from services.query.core.calls import ReadCall
from services.query.core.sql import Condition, Statement, Table, peeking_statement, raw_source, source, within
from services.query.core.times import TimeRange, time_in_zone
from services.web.handlers import success_response

SETTLES_MS: Final = 600_000
"""Age at which an accepted event should be in the tables, however busy the pipeline is."""
_DAY_MS: Final = 86_400_000
_MINUTE_MS: Final = 60_000
_CLOCKS_APART_MS: Final = 600_000
"""Maximum difference between the clocks of gateways and of ClickHouse."""
router = APIRouter(prefix="/console", include_in_schema=False)


class LedgerRow(msgspec.Struct):
    """Numbers of events received in a range. `settled_…`: those received before another time."""

    acknowledged: int
    repeated: int
    """Repeats within one request, which gateways leave out."""
    refused: int
    settled_acknowledged: int
    stored: int
    settled_stored: int
    marked: int
    """Repeats that the stream found."""
    settled_marked: int


@router.get("/ledger")
async def show_ledger(call: ReadCall) -> Response:
    """Answer with the ledger of the whole minutes of the last day."""
    to_ms = now_ms() // _MINUTE_MS * _MINUTE_MS
    given = TimeRange(to_ms - _DAY_MS, to_ms)
    row = await call.reader.first(count_ledger(call.app_id, given, to_ms - SETTLES_MS))
    assert row is not None
    return success_response(balance_of(row) | {"to": time_in_zone(given.to_ms, call.app.timezone)})


def balance_of(row: LedgerRow) -> dict[str, Any]:
    """Return the account of the range: `sent` = `stored` + `duplicates` + `rejected` + `under_way` + `missing`.

    A gateway that is killed takes its last second of counts with it: more may be in the tables than it has told of.
    """
    found = row.stored + row.marked
    missing = max(0, row.settled_acknowledged - row.settled_stored - row.settled_marked)
    under_way = max(0, row.acknowledged - found - missing)
    return {
        "sent": found + under_way + missing + row.repeated + row.refused,
        "stored": row.stored,
        "duplicates": row.marked + row.repeated,
        "rejected": row.refused,
        "under_way": under_way,
        "missing": missing,
    }


def count_ledger(app_id: str, given: TimeRange, settled_ms: int) -> Statement[LedgerRow]:
    """Count by time of receipt, which the events are not ordered by: rows as they were written tell in which minutes of
    event time there are some that were stored lately, and those minutes are read as they stand."""
    received = Condition("received_us >= {from_ms:Int64} * 1000 AND received_us < {to_ms:Int64} * 1000")
    lately = [received, Condition("stored_at_ms >= {from_ms:Int64} - {clocks_apart_ms:Int64}")]
    minutes = f"SELECT DISTINCT intDiv(timestamp_ms, {_MINUTE_MS}) FROM {raw_source(Table.EVENTS, lately)}"
    events = source(Table.EVENTS, [Condition(f"intDiv(timestamp_ms, {_MINUTE_MS}) IN ({minutes})"), received])
    marks = source(Table.EVENT_MARKS, [Condition("mark = 'duplicate'"), received])
    in_range = within("minute_ms", given)
    counts = source(Table.GATEWAY_COUNTS, in_range)
    settled = "received_us < {settled_ms:Int64} * 1000"
    sql = f"""SELECT * FROM (
    SELECT sum(accepted) AS acknowledged, sum(duplicates) AS repeated, sum(rejected) AS refused,
        sumIf(accepted, minute_ms < {{settled_ms:Int64}}) AS settled_acknowledged FROM {counts}
) AS of_gateways
CROSS JOIN (SELECT count() AS stored, countIf({settled}) AS settled_stored FROM {events}) AS of_events
CROSS JOIN (SELECT count() AS marked, countIf({settled}) AS settled_marked FROM {marks}) AS of_marks"""
    bound = {"settled_ms": settled_ms, "clocks_apart_ms": _CLOCKS_APART_MS}
    return peeking_statement(LedgerRow, app_id, sql, in_range, **bound)
