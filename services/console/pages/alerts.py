"""Alerts: rules on a metric, a back-test of a new one, and the history of what held and stopped."""

import asyncio
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from pipeline.control import InvalidRecord
from pipeline.control.alerts import WINDOW_MINUTES, AlertRules, check_rule, new_rule_id, rule_name
from pipeline.runtime.clock import now_ms
from schemas.control import AlertMetric, AlertRule, Comparison
from services.console import setting_words
from services.console.i18n.catalogue import text
from services.console.page import Page, go
from services.console.reading import ReadFailed
from services.console.visitor import Form, OfApp, Refused, field, required

router = APIRouter()
_FIELDS: Final = ("metric", "subject", "comparison", "threshold", "window_minutes", "trailing", "name")
_NEW: Final = {"metric": "events", "comparison": "below_average", "threshold": "50"} | {
    "window_minutes": "1440",
    "trailing": "7",
    "subject": "",
    "name": "",
}
"""Daily events below half of their average, which is what most want first."""
_NOT_A_NUMBER: Final = text("Threshold, window and number of windows must be numbers.")
_LIMIT: Final = 50
_DAYS: Final = 28


@router.get("/apps/{app_id}/alerts")
async def show_alerts(page: OfApp) -> Response:
    return await _alerts_page(page, dict(_NEW))


@router.post("/apps/{app_id}/alerts")
async def add_rule(page: OfApp, fields: Form) -> Response:
    """Take a new rule: show when it would have held (`do=preview`), or store it."""
    given = {name: field(fields, name) for name in _FIELDS}
    try:
        rule = _rule_of(page, given)
        check_rule(rule)
        if field(fields, "do") == "preview":
            return await _alerts_page(page, given, tested=await _back_test(page, given))
        entry = page.entry("alert.add", rule.rule_id, after=_logged(rule))
        await asyncio.to_thread(AlertRules(page.console.dsn, entry).add, rule, now_ms())
    except InvalidRecord as error:
        return await _alerts_page(page, given, 400, problem=page.told(error))
    return go(page.url("alerts?saved=1"))


@router.post("/apps/{app_id}/alerts/{rule_id}")
async def change_rule(page: OfApp, rule_id: str, fields: Form) -> Response:
    """Pause, resume or remove a rule, as `do` says."""
    rule, do = await _known(page, rule_id), field(fields, "do")
    rules = AlertRules(page.console.dsn, page.entry(f"alert.{do}", rule_id, _logged(rule)))
    if do == "pause":
        await asyncio.to_thread(rules.pause, rule_id)
    elif do == "resume":
        await asyncio.to_thread(rules.resume, rule_id, now_ms())
    elif do == "remove":
        await asyncio.to_thread(rules.remove, rule_id, now_ms())
    else:
        raise Refused(400)
    return go(page.url("alerts?saved=1"))


async def _known(page: Page, rule_id: str) -> AlertRule:
    rules = await asyncio.to_thread(AlertRules(page.console.dsn).rules, page.app_id)
    return required(next((rule for rule in rules if rule.rule_id == rule_id), None))


def _rule_of(page: Page, given: dict[str, str]) -> AlertRule:
    try:
        metric, comparison = AlertMetric(given["metric"]), Comparison(given["comparison"])
    except ValueError:
        raise Refused(400) from None
    try:
        threshold, minutes, trailing = float(given["threshold"]), int(given["window_minutes"]), int(given["trailing"])
    except ValueError:
        raise InvalidRecord(_NOT_A_NUMBER) from None
    return AlertRule(
        rule_id=new_rule_id(),
        app_id=page.app_id,
        name=given["name"] or rule_name(metric, given["subject"], comparison, threshold),
        metric=metric,
        comparison=comparison,
        threshold=threshold,
        window_seconds=minutes * 60,
        trailing_windows=trailing,
        subject=given["subject"],
        active_from_ms=now_ms(),
    )


async def _back_test(page: Page, given: dict[str, str]) -> Any:
    asked = {name: value for name, value in given.items() if name != "name"} | {"days": _DAYS}
    return await page.read("/console/alerts/back-test", asked)


def _logged(rule: AlertRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "metric": rule.metric.value,
        "subject": rule.subject,
        "comparison": rule.comparison.value,
        "threshold": rule.threshold,
        "window_seconds": rule.window_seconds,
        "trailing_windows": rule.trailing_windows,
        "is_paused": rule.is_paused,
    }


async def _alerts_page(
    page: Page, given: dict[str, str], status: int = 200, problem: str = "", tested: Any = None
) -> Response:
    rules = await asyncio.to_thread(AlertRules(page.console.dsn).rules, page.app_id)
    values = {
        "rules": rules,
        "given": given,
        "problem": problem,
        "tested": tested,
        "history": await _history(page),
        "windows": [(str(minutes), page.formats.duration(minutes * 60)) for minutes in WINDOW_MINUTES],
        "days": _DAYS,
        "words": setting_words,
    }
    return page.render("alerts.html", status, **values)


async def _history(page: Page) -> Any:
    """Return the newest alerts; None: they cannot be read now."""
    try:
        return await page.read("/v1/alerts", {"limit": _LIMIT, "cursor": page.request.query_params.get("cursor")})
    except ReadFailed as error:
        if error.status < 500:
            raise
        return None
