"""Answers about alerts: shapes, an example, and rows as items. Pure."""

from typing import Annotated, Any, Final

from pydantic import Field
from typing_extensions import TypedDict

from schemas.control import Comparison
from schemas.facts import AlertRow, AlertState
from services.query.alerts.parameters import ToldMetric
from services.query.core.answers import META, Meta, NextCursor, Text
from services.query.core.times import time_in_zone


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


EXAMPLE_LIST: Final[Any] = {
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
    "meta": {**META, "complete_through": "2024-01-16T00:01:00.000+08:00"},
}


def alert_of(row: AlertRow, zone: str) -> Alert:
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
