"""Alert rules in a real database."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pipeline.control import ControlPlane, InvalidRecord, UnknownRecord, migrate_control_plane
from pipeline.control.alerts import AlertRules
from pipeline.runtime.settings import Settings
from schemas.control import AlertMetric, AlertRule, App, Comparison

RULE = AlertRule("rule_1", "shop", "n", AlertMetric.EVENTS, Comparison.BELOW_AVERAGE, 50, 86_400, 7, "purchase")


@pytest.fixture
def planes(make_settings: Callable[..., Settings]) -> Iterator[tuple[ControlPlane, AlertRules]]:
    dsn = make_settings().control_plane_dsn()
    migrate_control_plane(dsn)
    store, rules = ControlPlane(dsn), AlertRules(dsn)
    store.create_app(App("shop", "Shop"), 1)
    yield store, rules
    rules.close()
    store.close()


def test_a_rule_from_first_to_last(planes: tuple[ControlPlane, AlertRules]) -> None:
    store, rules = planes
    rules.add(RULE, 5)
    assert rules.rules("shop") == [RULE] == list(store.snapshot(6).alert_rules)
    assert rules.rules("other") == []
    paused = rules.pause("rule_1")
    assert paused == replace(RULE, is_paused=True) == store.snapshot(6).alert_rules[0]
    assert rules.resume("rule_1", 9) == replace(RULE, active_from_ms=9) == store.snapshot(6).alert_rules[0]
    rules.remove("rule_1", 10)
    assert store.snapshot(11).alert_rules == ()
    for act in (rules.pause, lambda rule_id: rules.resume(rule_id, 1), lambda rule_id: rules.remove(rule_id, 1)):
        with pytest.raises(UnknownRecord):
            act("rule_1")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": ""}, "name"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": -1.0}, "threshold"),
        ({"window_seconds": 61}, "window"),
        ({"window_seconds": 7 * 60}, "window"),
        ({"trailing_windows": 0}, "trailing windows"),
        ({"trailing_windows": 61}, "trailing windows"),
        ({"subject": "Not A Name"}, "event name or goal"),
        ({"metric": AlertMetric.API_LATENCY}, "event name or goal"),
    ],
)
def test_what_is_no_rule_is_refused(planes: tuple[ControlPlane, AlertRules], changes: dict, named: str) -> None:
    with pytest.raises(InvalidRecord, match=named):
        planes[1].add(replace(RULE, **changes), 5)
    assert planes[1].rules() == []


def test_a_rule_needs_its_app(planes: tuple[ControlPlane, AlertRules]) -> None:
    with pytest.raises(UnknownRecord):
        planes[1].add(replace(RULE, app_id="nobody"), 5)
