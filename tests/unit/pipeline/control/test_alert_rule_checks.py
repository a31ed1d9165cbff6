"""Checks of alert rules: numbers that nothing can write."""

import pytest

from pipeline.control import InvalidRecord
from pipeline.control.alerts import check_rule
from schemas.control import AlertMetric, AlertRule, Comparison


@pytest.mark.parametrize("minutes", ["9" * 4_300, "-" + "9" * 4_300], ids=["large", "small"])
def test_a_window_of_thousands_of_digits_is_refused_by_name(minutes: str) -> None:
    # The digits can be read, but those of the seconds cannot be written any more.
    rule = AlertRule("rule_1", "shop", "n", AlertMetric.EVENTS, Comparison.ABOVE, 1.0, int(minutes) * 60, 7)
    with pytest.raises(InvalidRecord, match=r"window '-?inf s' is not acceptable"):
        check_rule(rule)
