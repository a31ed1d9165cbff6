import pytest

from services.query.events.statements import property_condition


@pytest.mark.parametrize(
    ("value", "has_number"), [("19.9", True), ("-3", True), ("1e5", False), ("nan", False), ("", False)]
)
def test_a_property_is_compared_as_a_number_only_where_it_is_one(value: str, has_number: bool) -> None:
    condition = property_condition(0, "price", value)
    assert ("property_0_number" in condition.parameters) == has_number
