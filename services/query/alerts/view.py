"""Rows of alerts as answers. Pure."""

from schemas.control import Comparison
from schemas.facts import AlertState
from services.query.alerts.answers import Alert
from services.query.alerts.parameters import ToldMetric
from services.query.alerts.statements import AlertFact
from services.query.core.times import time_in_zone


def alert_of(row: AlertFact, zone: str) -> Alert:
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
