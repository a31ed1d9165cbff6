"""Queries that measure a metric, and the meaning of their answers."""

import pytest

from pipeline.domain.alerts import Window
from pipeline.readmodel.alert_windows import SQL, answers, question
from schemas.control import AlertMetric, AlertRule, App, Comparison

WINDOWS = [Window(0, 60_000), Window(60_000, 120_000), Window(120_000, 180_000)]
APP = App("shop", "Shop", currency="JPY")


def rule(metric: AlertMetric, subject: str = "") -> AlertRule:
    return AlertRule("rule_1", "shop", "n", metric, Comparison.ABOVE, 10, 60, subject=subject)


@pytest.mark.parametrize("metric", AlertMetric)
def test_every_metric_is_asked_for_by_bound_parameters_of_its_app(metric: AlertMetric) -> None:
    asked = question(rule(metric, "x' OR 1"), APP, WINDOWS)
    assert "FINAL WHERE app_id = {app_id:String}" in SQL[metric]
    assert "x' OR 1" not in asked.sql
    assert asked.parameters["starts"] == [0, 60_000, 120_000]
    assert (asked.parameters["from_ms"], asked.parameters["to_ms"]) == (0, 180_000)
    assert ("{subject:String}" in asked.sql) is ("subject" in asked.parameters)


@pytest.mark.parametrize(
    ("metric", "body", "values"),
    [
        (AlertMetric.EVENTS, b'{"start_ms":60000,"count":"7"}', [0, 7, 0]),
        (AlertMetric.VALUE, b'{"start_ms":0,"count":1250}', [1_250, 0, 0]),
        (AlertMetric.REJECTED_RATE, b'{"start_ms":0,"count":1,"total":4}\n{"start_ms":60000}', [25, None, None]),
        (AlertMetric.API_LATENCY, b'{"start_ms":120000,"latencies":[0,0,0,0,0,4,0,0,0,0,0,0]}', [None, None, 242.5]),
    ],
)
def test_windows_without_a_row(metric: AlertMetric, body: bytes, values: list[float | None]) -> None:
    assert answers(rule(metric), APP, WINDOWS, body) == pytest.approx(values)
