"""Statements over all apps at once: counts for the ledger, the state of ClickHouse for the doctor. Pure."""

from collections.abc import Mapping
from typing import Final

from pipeline.domain.conversions.goals import REFUND
from schemas.persons import IS_SOMEBODY_SQL
from services.query.events.refunds import ORDER_ID

_HOUR_US: Final = 3_600_000_000
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
    "countable": f"""
SELECT app_id, 0 AS hour, 0 AS place, count() AS count FROM events FINAL
WHERE {IS_SOMEBODY_SQL} AND (app_id, event_id, received_us) NOT IN (
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


def parts_sql(cluster: str) -> str:
    """Select the tables; of a cluster, each shard's once."""
    parts = f"cluster('{cluster}', system.parts)" if cluster else "system.parts"
    return f"""
SELECT table, count() AS parts, sum(rows) AS rows, sum(bytes_on_disk) AS bytes
FROM {parts} WHERE active AND database = {{database:String}} GROUP BY table ORDER BY table"""


def merges_sql(cluster: str) -> str:
    return f"""
SELECT count() AS merges, toFloat64(max(elapsed)) AS longest_seconds
FROM {_of_all("merges", cluster)} WHERE database = {{database:String}}"""


def disks_sql(cluster: str) -> str:
    """Select the disks; of a cluster, the fullest of each name."""
    return f"""
SELECT name, argMin(free_space, free_space / total_space) AS free_bytes,
    argMin(total_space, free_space / total_space) AS total_bytes
FROM {_of_all("disks", cluster)} GROUP BY name ORDER BY name"""


def _of_all(table: str, cluster: str) -> str:
    return f"clusterAllReplicas('{cluster}', system.{table})" if cluster else f"system.{table}"


MIGRATIONS_SQL: Final = "SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number"
NOW_SQL: Final = "SELECT toUnixTimestamp64Milli(now64(3)) AS now_ms"
