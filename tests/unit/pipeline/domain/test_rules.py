"""Settings compiled for the hot path."""

from typing import Any

import pytest

from pipeline.domain.rules import DAY_MS, compile_rules
from schemas.control import DEFAULT_GOALS, App, AttributionSettings, Goal
from schemas.facts import TouchType


def test_defaults_are_those_of_the_product() -> None:
    rules = compile_rules(App("shop", "Shop", goals=DEFAULT_GOALS))
    assert (rules.app_id, rules.currency) == ("shop", "CNY")
    assert (rules.gap_ms, rules.lateness_ms) == (1_800_000, DAY_MS)
    assert rules.window_ms == {"click": 30 * DAY_MS, "impression": DAY_MS, "view": 3 * DAY_MS, "visit": 30 * DAY_MS}
    assert (rules.max_window_ms, rules.half_life_ms, rules.is_direct_fallback) == (30 * DAY_MS, 7 * DAY_MS, False)
    assert rules.position_weights == (400_000_000, 200_000_000, 400_000_000)
    assert {name: [goal.name for goal in goals] for name, goals in rules.goals_by_event.items()} == {
        goal.event_name: [goal.name] for goal in DEFAULT_GOALS
    }


def test_goals_of_one_event_are_ordered_by_name() -> None:
    goals = (Goal("b", "B", "macro", "purchase"), Goal("a", "A", "micro", "purchase"))
    for order in (goals, goals[::-1]):
        rules = compile_rules(App("shop", "Shop", goals=order))
        assert [goal.name for goal in rules.goals_by_event["purchase"]] == ["a", "b"]


def test_an_app_may_leave_windows_out() -> None:
    rules = compile_rules(App("shop", "Shop", attribution=AttributionSettings(window_days={TouchType.VIEW: 2})))
    assert (rules.window_ms, rules.max_window_ms) == ({"view": 2 * DAY_MS}, 2 * DAY_MS)


@pytest.mark.parametrize(
    "settings",
    [
        {"session_gap_seconds": 0},
        {"allowed_lateness_seconds": -1},
        {"half_life_days": 0},
        {"position_weights": (0.5, -0.1, 0.6)},
        {"direct_touch": "never"},
    ],
)
def test_settings_nothing_can_be_computed_with_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="app shop"):
        compile_rules(App("shop", "Shop", attribution=AttributionSettings(**settings)))
