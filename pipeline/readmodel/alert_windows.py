"""Measure a metric in each of several windows: one query a rule. Pure but for `measure`, which runs it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from pipeline.domain.alerts import Window, percentile_ms
from pipeline.runtime.clickhouse import ClickHouse
from schemas.control import AlertMetric, AlertRule, App
from schemas.facts import LATENCY_BOUNDS_MS, AlertWindowRow
from schemas.money import from_minor

LATENCY_SHARE: Final = 0.95
BY_RECEIPT: Final = frozenset({AlertMetric.REJECTED_RATE, AlertMetric.API_LATENCY})
"""Metrics of requests, whose time is that of their receipt; the others go by event time."""

OF_CONVERSIONS: Final = frozenset({AlertMetric.CONVERSIONS, AlertMetric.VALUE})

# Windows given are one after the other without a gap, so the window of a time is the last that begins before it.
_WINDOW: Final = "roundDown({time}, {{starts:Array(Int64)}}) AS start_ms"
_SPAN: Final = "app_id = {{app_id:String}} AND {time} >= {{from_ms:Int64}} AND {time} < {{to_ms:Int64}}"
_BY_EVENT: Final = " AND NOT is_bot AND ({subject:String} = '' OR event_name = {subject:String})"
_BY_GOAL: Final = (
    " AND NOT is_bot AND currency = {currency:String}"
    " AND if({subject:String} = '', goal NOT IN {micro_goals:Array(String)}, goal = {subject:String})"
)
"""Select what a report counts: conversions of the goal named, else of all but micro goals, in the app's currency."""


def _sql(columns: str, table: str, time: str, more: str = "") -> str:
    window, span = _WINDOW.format(time=time), _SPAN.format(time=time)
    return f"SELECT {window}, {columns} FROM {table} FINAL WHERE {span}{more} GROUP BY start_ms"  # noqa: S608 - constants


SQL: Final[Mapping[AlertMetric, str]] = {
    AlertMetric.EVENTS: _sql("count() AS count", "events", "timestamp_ms", _BY_EVENT),
    AlertMetric.CONVERSIONS: _sql("count() AS count", "conversions", "converted_at_ms", _BY_GOAL),
    AlertMetric.VALUE: _sql("sum(value_minor - refunded_minor) AS count", "conversions", "converted_at_ms", _BY_GOAL),
    AlertMetric.REJECTED_RATE: _sql(
        "sum(rejected) AS count, sum(accepted + duplicates + rejected) AS total", "gateway_counts", "minute_ms"
    ),
    AlertMetric.API_LATENCY: _sql("sumForEach(latency_counts) AS latencies", "gateway_counts", "minute_ms"),
}


class WindowCounts(msgspec.Struct):
    """Counts of one window of time, as read from the tables."""

    start_ms: int
    count: int = 0
    total: int = 0
    latencies: list[int] = []


_decode: Final = msgspec.json.Decoder(WindowCounts, strict=False).decode_lines


@dataclass(frozen=True)
class Question:
    sql: str
    parameters: Mapping[str, Any]


def question(rule: AlertRule, app: App, found: Sequence[Window]) -> Question:
    """Build the query for `found`, windows which are not empty and follow each other without a gap."""
    parameters: dict[str, Any] = {
        "app_id": app.app_id,
        "starts": [window.start_ms for window in found],
        "from_ms": found[0].start_ms,
        "to_ms": found[-1].end_ms,
    }
    if rule.metric not in BY_RECEIPT:
        parameters["subject"] = rule.subject
    if rule.metric in OF_CONVERSIONS:
        parameters |= {"currency": app.currency, "micro_goals": list(app.micro_goals)}
    return Question(SQL[rule.metric], parameters)


def answers(rule: AlertRule, app: App, found: Sequence[Window], body: bytes) -> list[float | None]:
    """Return the value of each window from the rows of an answer."""
    return values_of(rule, app, found, _decode(body))


def values_of(rule: AlertRule, app: App, found: Sequence[Window], counts: Iterable[WindowCounts]) -> list[float | None]:
    """Return the value of each window. A window without a row had no events: 0 for counts, no value for rates."""
    rows = {row.start_ms: row for row in counts}
    return [_value(rule.metric, app.currency, rows.get(window.start_ms)) for window in found]


def _value(metric: AlertMetric, currency: str, row: WindowCounts | None) -> float | None:
    if metric is AlertMetric.REJECTED_RATE:
        return None if row is None or not row.total else 100 * row.count / row.total
    if metric is AlertMetric.API_LATENCY:
        return None if row is None else percentile_ms(row.latencies, LATENCY_BOUNDS_MS, LATENCY_SHARE)
    if row is None:
        return 0.0
    return float(from_minor(row.count, currency)) if metric is AlertMetric.VALUE else float(row.count)


async def measure(clickhouse: ClickHouse, rule: AlertRule, app: App, found: Sequence[Window]) -> list[float | None]:
    """Run the query. Raises the errors of `ClickHouse`."""
    asked = question(rule, app, found)
    return answers(rule, app, found, await clickhouse.query_bytes(asked.sql, asked.parameters))


_MEASURED_SQL: Final = """
SELECT app_id, rule_id, window_start_ms, window_end_ms, value, evaluated_at_us
FROM alert_windows FINAL
ORDER BY app_id, rule_id, window_start_ms DESC
LIMIT {kept:UInt32} BY app_id, rule_id"""
_decode_measured: Final = msgspec.json.Decoder(AlertWindowRow, strict=False).decode_lines


async def measured(clickhouse: ClickHouse, kept: int) -> list[AlertWindowRow]:
    """Return the last `kept` measured windows of every rule, oldest first. Raises the errors of `ClickHouse`."""
    return _decode_measured(await clickhouse.query_bytes(_MEASURED_SQL, {"kept": kept}))[::-1]
