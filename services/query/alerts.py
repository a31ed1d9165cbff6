"""Alerts of an app: when each rule began to hold, and when it stopped. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from pydantic import Field
from typing_extensions import TypedDict

from schemas.control import AlertMetric, Comparison
from schemas.facts import AlertState
from services.query.answers import Meta, NextCursor, Text
from services.query.cursors import Position
from services.query.pages import Page, cut
from services.query.parameters import InPages, InRange, RowId
from services.query.sql import (
    Statement,
    Table,
    columns,
    equals,
    newest_first,
    older_than,
    one_of,
    source,
    statement,
    within,
)
from services.query.times import TimeRange, time_in_zone

LIST_NAME: Final = "alerts"
ALL_TIME: Final = TimeRange()


class ToldMetric(StrEnum):
    """Metrics that alerts report: those of rules, and an endpoint of webhooks that was disabled."""

    EVENTS = AlertMetric.EVENTS
    CONVERSIONS = AlertMetric.CONVERSIONS
    VALUE = AlertMetric.VALUE
    REJECTED_RATE = AlertMetric.REJECTED_RATE
    API_LATENCY = AlertMetric.API_LATENCY
    WEBHOOK_FAILING = "webhook_failing"


class AlertsParameters(InRange, InPages):
    """Parameters of alerts: `from` and `to` are about the event time at which a rule began to hold or stopped
    (`at`).
    """

    rule_id: RowId | None = Field(None, examples=["rule_0f8fad5bd9cb4690"])
    metric: Annotated[tuple[ToldMetric, ...], Field(max_length=10)] = Field(
        (), description="May be repeated: any of them.", examples=[["events"]]
    )
    state: AlertState | None = Field(None, description="Only beginnings, or only ends.", examples=["began"])


@dataclass(frozen=True)
class AlertFilter:
    rule_id: str | None = None
    metrics: tuple[str, ...] = ()
    state: str | None = None
    time_range: TimeRange = ALL_TIME


class AlertFact(msgspec.Struct):
    alert_id: str
    rule_id: str
    rule_name: str
    metric: str
    subject: str
    comparison: str
    threshold: float
    value: float
    average: float | None
    unit: str
    state: str
    window_start_ms: int
    window_end_ms: int
    began_at_ms: int
    fired_at_ms: int


def list_alerts(app_id: str, wanted: AlertFilter, page: Page) -> Statement[AlertFact]:
    conditions = [
        *equals("rule_id", wanted.rule_id),
        *one_of("metric", wanted.metrics),
        *equals("state", wanted.state),
        *within("window_end_ms", wanted.time_range),
        *older_than("window_end_ms", "alert_id", page.after),
    ]
    order = newest_first("window_end_ms", "alert_id")
    sql = f"SELECT {columns(AlertFact)} FROM {source(Table.ALERTS, conditions)}{order}"
    return statement(AlertFact, app_id, sql, conditions, row_limit=page.row_limit)


class Alert(TypedDict):
    alert_id: Annotated[str, Field(description="The same wherever it is told, in a webhook's `data` too.")]
    rule_id: str
    rule_name: str
    state: Annotated[AlertState, Field(description="The rule began to hold in this window, or stopped.")]
    metric: ToldMetric
    subject: Annotated[Text, Field(description="The event name, goal or endpoint it is about. Null: all.")]
    comparison: Comparison
    value: Annotated[float, Field(description="What the window came to, in `unit`.")]
    threshold: Annotated[float, Field(description="What it was compared with, in `unit`.")]
    average: Annotated[float | None, Field(description="Of the windows before it, where the rule compares with it.")]
    unit: Annotated[str, Field(description="`events`, `conversions`, a currency, `%`, `ms` or `h`.")]
    window_start: str
    window_end: str
    at: Annotated[str, Field(description="Event time at which it began or stopped: the window's end.")]
    began_at: Annotated[str, Field(description="`at` of the alert that began it.")]
    fired_at: Annotated[str, Field(description="When that was found out.")]


class AlertList(TypedDict):
    items: list[Alert]
    next_cursor: NextCursor
    meta: Meta


def alert_page(rows: list[AlertFact], page: Page, meta: Meta) -> AlertList:
    kept, next_cursor = cut(LIST_NAME, rows, page, lambda row: Position(row.window_end_ms, row.alert_id))
    return {"items": [_alert(row, meta["timezone"]) for row in kept], "next_cursor": next_cursor, "meta": meta}


def _alert(row: AlertFact, zone: str) -> Alert:
    return {
        "alert_id": row.alert_id,
        "rule_id": row.rule_id,
        "rule_name": row.rule_name,
        "state": AlertState(row.state),
        "metric": ToldMetric(row.metric),
        "subject": row.subject or None,
        "comparison": Comparison(row.comparison),
        "value": row.value,
        "threshold": row.threshold,
        "average": row.average,
        "unit": row.unit,
        "window_start": time_in_zone(row.window_start_ms, zone),
        "window_end": time_in_zone(row.window_end_ms, zone),
        "at": time_in_zone(row.window_end_ms, zone),
        "began_at": time_in_zone(row.began_at_ms, zone),
        "fired_at": time_in_zone(row.fired_at_ms, zone),
    }


EXAMPLE: Final[Any] = {
    "items": [
        {
            "alert_id": "alr_0b9c2f6f5d3e4a1b8c7d6e5f",
            "rule_id": "rule_0f8fad5bd9cb4690",
            "rule_name": "events below average 50",
            "state": "began",
            "metric": "events",
            "subject": None,
            "comparison": "below_average",
            "value": 4012.0,
            "threshold": 5130.5,
            "average": 10261.0,
            "unit": "events",
            "window_start": "2024-01-15T00:00:00.000+08:00",
            "window_end": "2024-01-16T00:00:00.000+08:00",
            "at": "2024-01-16T00:00:00.000+08:00",
            "began_at": "2024-01-16T00:00:00.000+08:00",
            "fired_at": "2024-01-16T00:01:02.417+08:00",
        }
    ],
    "next_cursor": None,
    "meta": {"complete_through": "2024-01-16T00:01:00.000+08:00", "timezone": "Asia/Shanghai"},
}
