"""Query parameters of alerts, parsed into `AlertFilter`. Pure."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.control import AlertMetric, App
from schemas.facts import AlertState
from services.query.alerts.statements import AlertFilter
from services.query.core.parameters import ListParameters, RowId, range_of


class ToldMetric(StrEnum):
    """Metrics that alerts report: those of rules, and an endpoint of webhooks that was disabled."""

    EVENTS = AlertMetric.EVENTS
    CONVERSIONS = AlertMetric.CONVERSIONS
    VALUE = AlertMetric.VALUE
    REJECTED_RATE = AlertMetric.REJECTED_RATE
    API_LATENCY = AlertMetric.API_LATENCY
    WEBHOOK_FAILING = "webhook_failing"


class AlertsParameters(ListParameters):
    """Parameters of alerts: `from` and `to` are about the event time at which a rule began to hold or stopped
    (`at`).
    """

    rule_id: RowId | None = Field(None, examples=["rule_0f8fad5bd9cb4690"])
    metric: Annotated[tuple[ToldMetric, ...], Field(max_length=10)] = Field(
        (), description="May be repeated: any of them.", examples=[["events"]]
    )
    state: AlertState | None = Field(None, description="Only beginnings, or only ends.", examples=["began"])


def alert_filter(given: AlertsParameters, app: App) -> AlertFilter:
    metrics = tuple(dict.fromkeys(metric.value for metric in given.metric))
    state = given.state.value if given.state is not None else None
    return AlertFilter(given.rule_id, metrics, state, range_of(given, app))
