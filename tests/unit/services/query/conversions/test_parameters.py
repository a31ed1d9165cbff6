from decimal import Decimal

from schemas.control import App
from services.query.conversions.parameters import ConversionsParameters, conversion_filter

APP = App("alpha", "alpha", currency="JPY")


def test_a_least_value_is_meant_in_one_currency() -> None:
    wanted = conversion_filter(ConversionsParameters(min_value=Decimal(5)), APP)
    assert (wanted.currency, wanted.min_value) == ("JPY", 5)
    assert conversion_filter(ConversionsParameters(), APP).currency is None
    assert conversion_filter(ConversionsParameters(min_value=Decimal(5), currency="USD"), APP).currency == "USD"
