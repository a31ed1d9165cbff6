"""Back-test of an alert rule: when it would have begun to hold and stopped, in windows that are over.

A route of the console alone: it stands beside the API, which gateways forward, and not in its document.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from pipeline.control.alerts import check_rule
from pipeline.control.errors import InvalidRecord
from pipeline.domain.alerts import Judge, Window, first_window_from_ms, windows
from pipeline.readmodel.alert_windows import BY_RECEIPT, WindowCounts, question, values_of
from pipeline.runtime.clock import now_ms
from schemas.control import AlertMetric, AlertRule, App, Comparison
from schemas.facts import AlertWindowRow
from services.query.alerts.answers import alert_of
from services.query.core.calls import Call, ReadCall
from services.query.core.parameters import InZone, zone_of
from services.query.core.sql import Statement
from services.web.errors import Text, invalid
from services.web.handlers import success_response

MAX_WINDOWS: Final = 1_000
_DAY_MS: Final = 86_400_000
_RECEIVED_BEFORE_MS: Final = 60_000
"""Requests of the last minute may not be in the tables yet."""
router = APIRouter(prefix="/console", include_in_schema=False)


class BackTestParameters(InZone):
    """A rule, and how many days back to look."""

    metric: AlertMetric
    comparison: Comparison
    threshold: float
    window_minutes: Annotated[int, Field(ge=1, le=1440)] = 60
    trailing: Annotated[int, Field(ge=1, le=60)] = 7
    subject: Annotated[str, Field(max_length=64)] = ""
    days: Annotated[int, Field(ge=1, le=90)] = 28


@router.get("/alerts/back-test")
async def back_test(call: ReadCall, given: Annotated[BackTestParameters, Query()]) -> Response:
    """Judge the newest windows of the last days, at most `MAX_WINDOWS`."""
    through_ms = await _through_ms(call, given.metric)
    rule = rule_of(call.app, given, through_ms)
    found = windows_of(rule, call.app, through_ms)
    values = await _values(call, rule, found)
    rows = [
        AlertWindowRow(call.app_id, rule.rule_id, window.start_ms, window.end_ms, value, window.end_ms * 1000)
        for window, value in zip(found, values, strict=True)
    ]
    alerts = Judge(rule, call.app.currency).take_all(rows)
    zone = zone_of(given, call.app)
    judged = sum(window.start_ms >= rule.active_from_ms for window in found)
    answer = {"windows": judged, "alerts": [alert_of(alert, zone) for alert in alerts], "meta": await call.meta(given)}
    return success_response(answer)


async def _through_ms(call: Call, metric: AlertMetric) -> int:
    if metric in BY_RECEIPT:
        return now_ms() - _RECEIVED_BEFORE_MS
    return await call.reader.complete_through_ms() or 0


def rule_of(app: App, given: BackTestParameters, through_ms: int) -> AlertRule:
    """Return the rule, as if it had been added some days ago. Raises `ApiError`."""
    length_ms = given.window_minutes * 60_000
    back_ms = min(given.days * _DAY_MS, MAX_WINDOWS * length_ms)
    rule = AlertRule(
        rule_id="back_test",
        app_id=app.app_id,
        name="back-test",
        metric=given.metric,
        comparison=given.comparison,
        threshold=given.threshold,
        window_seconds=given.window_minutes * 60,
        trailing_windows=given.trailing,
        subject=given.subject,
        active_from_ms=max(0, through_ms - back_ms),
    )
    try:
        check_rule(rule)
    except InvalidRecord as error:
        raise invalid("rule", Text("告警规则的设置不可用", str(error))) from None
    return rule


def windows_of(rule: AlertRule, app: App, through_ms: int) -> list[Window]:
    """Return the windows that are over by then, those before them included that the first averages are of."""
    limit = MAX_WINDOWS + rule.trailing_windows + 1
    return windows(rule, app.timezone, first_window_from_ms(rule), through_ms, limit)


async def _values(call: Call, rule: AlertRule, found: list[Window]) -> list[float | None]:
    if not found:
        return []
    asked = question(rule, call.app, found)
    counts: Any = await call.reader.rows(Statement(WindowCounts, asked.sql, asked.parameters))
    return values_of(rule, call.app, found, counts)
