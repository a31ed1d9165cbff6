"""Operator endpoints over all apps at once: counts for the ledger, the state of the tables for the doctor.

No key of an app may see another app's counts, so these routes know one token of their own (`operator_token`); without
it they do not exist. They are no part of the API: gateways do not forward them, and its document does not name them.
"""

from collections.abc import Mapping
from hmac import compare_digest
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response

from pipeline.domain.goals import REFUND
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseRejected, ClickHouseUnavailable
from pipeline.runtime.http.errors import ApiError, Text, invalid, server_error
from pipeline.runtime.http.handlers import success_response
from schemas.errors import ErrorCode
from services.query.refunds import ORDER_ID

PREFIX: Final = "/operator"
_RETRY_SECONDS: Final = 5
_TIMEOUT_SECONDS: Final = 600.0
"""Timeout of operators' queries: these look at whole tables."""
_HOUR_US: Final = 3_600_000_000
_NOT_A_NUMBER: Final = Text("必须是整数", "it must be an integer")

# `\x1f` between app and person: see schemas.ids.partition_for.
LEDGER_SQL: Final[Mapping[str, str]] = {
    "stored": f"""
SELECT app_id, intDiv(received_us, {_HOUR_US}) AS hour,
    CRC32(concat(app_id, char(31), person_key)) % {{partitions:UInt32}} AS place, count() AS count
FROM events FINAL WHERE received_us >= {{from_us:Int64}} AND received_us < {{through_us:Int64}}
GROUP BY app_id, hour, place""",
    # Found in a merge, a mark has no place but says whose the event was, or (-1) not even that.
    "duplicates": f"""
SELECT app_id, intDiv(received_us, {_HOUR_US}) AS hour, multiIf(`partition` >= 0, `partition`, person_key = '', -1,
    CRC32(concat(app_id, char(31), person_key)) % {{partitions:UInt32}}) AS place, count() AS count
FROM event_marks FINAL
WHERE mark = 'duplicate' AND received_us >= {{from_us:Int64}} AND received_us < {{through_us:Int64}}
GROUP BY app_id, hour, place""",
    # Of two receipts of one event the table keeps the earlier, the stream the one that came first in the topic.
    "swapped": f"""
SELECT app_id, intDiv(received_us, {_HOUR_US}) AS hour, `partition` AS place, count() AS count
FROM event_marks FINAL
WHERE mark = 'duplicate' AND received_us >= {{from_us:Int64}} AND received_us < {{through_us:Int64}}
    AND (app_id, event_id, received_us) IN (
        SELECT app_id, event_id, received_us FROM events FINAL
        WHERE (app_id, event_id) IN (SELECT app_id, event_id FROM event_marks WHERE mark = 'duplicate')
    )
GROUP BY app_id, hour, place""",
    "late": f"""
SELECT app_id, intDiv(received_us, {_HOUR_US}) AS hour, `partition` AS place, count() AS count
FROM event_marks FINAL
WHERE mark = 'late' AND received_us >= {{from_us:Int64}} AND received_us < {{through_us:Int64}}
GROUP BY app_id, hour, place""",
    # What the states of all persons have counted, as their sessions say; and what they should have: of each event one
    # row, unless it was late or nobody's. `resent` are rows that share their id with one of another time.
    "counted": """
SELECT app_id, 0 AS hour, 0 AS place, sum(events) AS count FROM sessions FINAL WHERE NOT is_deleted GROUP BY app_id""",
    "countable": """
SELECT app_id, 0 AS hour, 0 AS place, count() AS count FROM events FINAL
WHERE NOT startsWith(person_key, 'e:') AND (app_id, event_id, received_us) NOT IN (
    SELECT app_id, event_id, received_us FROM event_marks WHERE mark = 'late'
)
GROUP BY app_id""",
    "resent": """
SELECT app_id, 0 AS hour, 0 AS place, sum(rows - 1) AS count FROM (
    SELECT app_id, count() AS rows FROM events FINAL GROUP BY app_id, sipHash64(event_id) HAVING rows > 1
)
GROUP BY app_id SETTINGS max_bytes_before_external_group_by = 1000000000""",
    "without_order": f"""
WITH refunds AS (
    SELECT app_id, received_us, {ORDER_ID} AS order_id FROM events FINAL
    WHERE event_name = '{REFUND}' AND received_us >= {{from_us:Int64}} AND received_us < {{through_us:Int64}}
)
SELECT app_id, intDiv(received_us, {_HOUR_US}) AS hour, 0 AS place, count() AS count
FROM refunds
WHERE (app_id, order_id) NOT IN (
    SELECT app_id, order_id FROM conversions FINAL
    WHERE order_id != '' AND (app_id, order_id) IN (SELECT app_id, order_id FROM refunds)
)
GROUP BY app_id, hour""",
    "rejected": f"""
SELECT app_id, intDiv(rejected_at_ms * 1000, {_HOUR_US}) AS hour, 0 AS place, count() AS count
FROM rejected FINAL
WHERE stage = 'gateway' AND rejected_at_ms * 1000 >= {{from_us:Int64}} AND rejected_at_ms * 1000 < {{through_us:Int64}}
GROUP BY app_id, hour""",
    "put_aside": f"""
SELECT app_id, intDiv(rejected_at_ms * 1000, {_HOUR_US}) AS hour, 0 AS place, count() AS count
FROM rejected FINAL
WHERE stage != 'gateway' AND rejected_at_ms * 1000 >= {{from_us:Int64}}
GROUP BY app_id, hour""",
    "acknowledged": f"""
SELECT app_id, intDiv(minute_ms * 1000, {_HOUR_US}) AS hour, 0 AS place, sum(accepted) AS count
FROM gateway_counts FINAL
WHERE minute_ms * 1000 >= {{from_us:Int64}} AND minute_ms * 1000 + 60000000 <= {{through_us:Int64}}
GROUP BY app_id, hour HAVING count > 0""",
    "refused": f"""
SELECT app_id, intDiv(minute_ms * 1000, {_HOUR_US}) AS hour, 0 AS place, sum(rejected) AS count
FROM gateway_counts FINAL
WHERE minute_ms * 1000 >= {{from_us:Int64}} AND minute_ms * 1000 + 60000000 <= {{through_us:Int64}}
GROUP BY app_id, hour HAVING count > 0""",
}


class CountRow(msgspec.Struct):
    """A count. `hour`: since the epoch, of the receipt. `place`: the partition, where the table knows it."""

    app_id: str
    hour: int
    place: int
    count: int


LedgerCounts = dict[str, list[CountRow]]


async def ledger_counts(clickhouse: ClickHouse, partitions: int, from_us: int, through_us: int) -> LedgerCounts:
    """Count final rows of all apps by hour of receipt, received in [`from_us`, `through_us`). Gateways count by the
    minute: of theirs, the minutes wholly inside.
    """
    bound = {"partitions": partitions, "from_us": from_us, "through_us": through_us}
    decode = msgspec.json.Decoder(CountRow, strict=False).decode_lines
    return {
        name: decode(await clickhouse.query_bytes(sql, bound, timeout_seconds=_TIMEOUT_SECONDS))
        for name, sql in LEDGER_SQL.items()
    }


_PARTS_SQL: Final = """
SELECT table, count() AS parts, sum(rows) AS rows, sum(bytes_on_disk) AS bytes
FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table"""
_MERGES_SQL: Final = """
SELECT count() AS merges, toFloat64(max(elapsed)) AS longest_seconds
FROM system.merges WHERE database = currentDatabase()"""
_DISKS_SQL: Final = "SELECT name, free_space AS free_bytes, total_space AS total_bytes FROM system.disks"
_MIGRATIONS_SQL: Final = "SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number"
_NOW_SQL: Final = "SELECT toUnixTimestamp64Milli(now64(3)) AS now_ms"


class TableState(msgspec.Struct):
    table: str
    parts: int
    rows: int
    bytes: int


class MergeState(msgspec.Struct):
    merges: int
    longest_seconds: float


class DiskState(msgspec.Struct):
    name: str
    free_bytes: int
    total_bytes: int


class MigrationState(msgspec.Struct):
    number: int
    name: str
    checksum: str


class _Now(msgspec.Struct):
    now_ms: int


class StoreState(msgspec.Struct):
    """State of ClickHouse."""

    now_ms: int
    tables: list[TableState]
    merges: MergeState
    disks: list[DiskState]
    migrations: list[MigrationState]


async def store_state(clickhouse: ClickHouse) -> StoreState:
    """Read the state of ClickHouse. Raises the errors of `ClickHouse`."""

    async def rows(sql: str, row_type: Any) -> Any:
        return msgspec.json.Decoder(row_type, strict=False).decode_lines(await clickhouse.query_bytes(sql))

    return StoreState(
        now_ms=(await rows(_NOW_SQL, _Now))[0].now_ms,
        tables=await rows(_PARTS_SQL, TableState),
        merges=(await rows(_MERGES_SQL, MergeState))[0],
        disks=await rows(_DISKS_SQL, DiskState),
        migrations=await rows(_MIGRATIONS_SQL, MigrationState),
    )


def add_operator_routes(app: FastAPI, clickhouse: ClickHouse, token: str, partitions: int) -> None:
    """Add the operators' routes; none without a token."""
    if not token:
        return

    @app.get(PREFIX + "/ledger", include_in_schema=False)
    async def ledger(request: Request) -> Response:
        _require_operator(request, token)
        bounds = [_integer(request, name) for name in ("from_us", "through_us")]
        try:
            return success_response(await ledger_counts(clickhouse, partitions, *bounds))
        except (ClickHouseUnavailable, ClickHouseRejected) as error:
            raise server_error(_RETRY_SECONDS) from error

    @app.get(PREFIX + "/store", include_in_schema=False)
    async def store(request: Request) -> Response:
        _require_operator(request, token)
        try:
            return success_response(await store_state(clickhouse))
        except (ClickHouseUnavailable, ClickHouseRejected) as error:
            raise server_error(_RETRY_SECONDS) from error


def _require_operator(request: Request, token: str) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not compare_digest(given.strip().encode(), token.encode()):
        raise ApiError(ErrorCode.INVALID_API_KEY, headers=((b"www-authenticate", b'Bearer realm="operator"'),))


def _integer(request: Request, name: str) -> int:
    try:
        return int(request.query_params.get(name, ""))
    except ValueError:
        raise invalid(name, _NOT_A_NUMBER) from None
