"""The conditions of goals, operator by operator."""

from typing import Any

import pytest

from pipeline.domain.conversions.conditions import Unmet, all_hold, why_unmet
from schemas.control import GoalCondition, Operator

HUGE = 10**5000


@pytest.mark.parametrize(
    ("operator", "value", "held_by", "not_by"),
    [
        ("eq", "pro", ["pro"], ["Pro", "", None, True, 7, ["pro"], {}]),
        ("eq", 5, [5, 5.0, "5", "5.0"], [6, "five", True, None, [5]]),
        ("eq", "19.99", [19.99, "19.99", "19.990"], [19.9, "19,99"]),
        ("eq", True, [True], [1, "true", False, None]),
        ("ne", "pro", ["free", None, 7, True], ["pro"]),
        ("ne", 5, [6, None, "x", True], [5, "5"]),
        ("gt", 100, [100.01, "101"], [100, "99", "many", None, True, [200], HUGE]),
        ("gte", 100, [100, "100.0"], [99.999]),
        ("lt", 0.3, [0.1, -1, "-5"], [0.3, 0.30000001, None]),
        ("lte", 0.3, [0.3], [0.31]),
        ("gt", "2024-01-01", ["2024-02-01"], ["2023-12-31", "2024-01-01", 5]),
        ("contains", "sho", ["shoes", "a shop"], ["SHOES", None, 7, ["shoes"], {"sho": 1}]),
        ("contains", "shoes", [["hat", "shoes"]], [["hat"], []]),
        ("contains", 5, ["a5", [1, 5], ["5"]], ["a", [1], 5]),
        ("exists", None, ["", 0, False, [], {}], [None]),
        ("exists", True, ["x"], [None]),
        ("exists", False, [None], ["", 0, False]),
    ],
)
def test_operators(operator: str, value: Any, held_by: list[Any], not_by: list[Any]) -> None:
    condition = GoalCondition("property", Operator(operator), value)
    assert [found for found in held_by if not all_hold([condition], {"property": found})] == []
    assert [found for found in not_by if all_hold([condition], {"property": found})] == []
    assert [found for found in held_by if why_unmet(condition, {"property": found})] == []
    assert [found for found in not_by if not why_unmet(condition, {"property": found})] == []


def test_an_absent_property_is_as_a_null_one_and_all_conditions_must_hold() -> None:
    absent = GoalCondition("gone", Operator.EXISTS, False)
    large = GoalCondition("amount", Operator.GT, 10)
    assert all_hold([absent, large], {"amount": 11})
    assert not all_hold([absent, large], {"amount": 11, "gone": 1})
    assert not all_hold([absent, large], {"amount": 10})
    assert all_hold([], {})


@pytest.mark.parametrize(
    ("operator", "value", "found", "why"),
    [
        ("eq", "pro", None, Unmet.ABSENT),
        ("exists", True, None, Unmet.ABSENT),
        ("exists", False, "", Unmet.PRESENT),
        ("eq", "pro", "free", Unmet.OTHER),
        ("ne", True, True, Unmet.OTHER),
        ("gte", 100, "99", Unmet.OTHER),
        ("gt", "2024-01-01", "2023-12-31", Unmet.OTHER),
        ("contains", "a", ["b"], Unmet.OTHER),
        ("contains", "a", "b", Unmet.OTHER),
        ("eq", 5, "five", Unmet.INCOMPARABLE),
        ("eq", True, "true", Unmet.INCOMPARABLE),
        ("gt", 1, True, Unmet.INCOMPARABLE),
        ("gt", "2024-01-01", 5, Unmet.INCOMPARABLE),
        ("lt", 5, [1], Unmet.INCOMPARABLE),
        ("contains", 7, 7, Unmet.INCOMPARABLE),
        ("contains", "a", {"a": 1}, Unmet.INCOMPARABLE),
    ],
)
def test_why_a_condition_does_not_hold(operator: str, value: Any, found: Any, why: Unmet) -> None:
    assert why_unmet(GoalCondition("property", Operator(operator), value), {"property": found}) is why
