from decimal import Decimal

import pytest

from services.query.core.numbers import credit, micros_together, money, money_by_currency, rate, seconds
from services.web.envelope import encode_json


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, b"0"),
        (10**6, b"1"),
        (333_333, b"0.333333"),
        (400_000, b"0.4"),
        (12 * 10**6, b"12"),
        (10_500_000, b"10.5"),
        (1, b"0.000001"),
        (2 * 10**12 + 1, b"2000000.000001"),
    ],
)
def test_credit(micros: int, text: bytes) -> None:
    assert encode_json(credit(micros)) == text


def test_credit_is_shown_in_millionths_that_add_up() -> None:
    assert micros_together([333_333_333, 333_333_333, 333_333_334]) == [333_333, 333_333, 333_334]
    assert micros_together([4_999_999_999, 1]) == [5_000_000, 0]


def test_money_is_exact_in_every_currency() -> None:
    assert encode_json(money(19_990, "CNY")) == b"199.90"
    assert encode_json(money(500, "JPY")) == b"500"
    assert encode_json(money(1_234, "KWD")) == b"1.234"
    assert encode_json(money(9_007_199_254_740_993, "CNY")) == b"90071992547409.93"
    assert money_by_currency({"USD": 100, "CNY": 5, "": 3}) == {"CNY": Decimal("0.05"), "USD": Decimal(1)}


def test_rates() -> None:
    assert rate(1, 3) == Decimal("0.333333")
    assert rate(0, 5) == 0
    assert rate(5, 5) == 1
    assert rate(0, 0) is None


def test_seconds() -> None:
    assert encode_json([seconds(0), seconds(1500), seconds(90_000)]) == b"[0,1.5,90]"
