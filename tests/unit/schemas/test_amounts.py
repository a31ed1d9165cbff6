"""Amounts and currencies as senders write them: read where there is one meaning, else a problem, never a guess."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.amounts import Money, Problem, ValueIssue, read_amount, read_money, read_value
from schemas.currencies import CODES, read_currency
from schemas.money import MINOR_DIGITS

NAMES = ("revenue", "amount")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CNY", "CNY"),
        (" usd ", "USD"),
        ("\u00a0eur\n", "EUR"),
        ("ＵＳＤ", "USD"),
        ("RMB", "CNY"),
        ("rmb", "CNY"),
        ("CNH", "CNY"),
        ("人民币", "CNY"),
        ("US$", None),
        ("$", None),
        ("¥", None),
        ("USDT", None),
        ("euro", None),
        ("ABC", None),
        ("XXX", None),
        ("", None),
        ("x" * 100_000, None),
    ],
)
def test_currencies(text: str, code: str | None) -> None:
    assert read_currency(text) == code


def test_the_codes_are_those_of_the_standard() -> None:
    assert MINOR_DIGITS.keys() <= CODES
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in CODES)


READ = [
    (1299, "1299"),
    (19.99, "19.99"),
    ("1299.5", "1299.5"),
    (" 1299 ", "1299"),
    ("-5", "-5"),
    ("−5", "-5"),
    ("+5", "5"),
    ("1,299", "1299"),
    ("1,299.00", "1299.00"),
    ("12,345,678.9", "12345678.9"),
    ("1.299,00", "1299.00"),
    ("1.234.567", "1234567"),
    ("12,50", "12.50"),
    ("1 299,00", "1299.00"),
    ("1\u202f299\u00a0000", "1299000"),
    ("1'299.00", "1299.00"),
    ("1’299.00", "1299.00"),
    ("1,23,456.00", "123456.00"),
    ("１２９９．５０", "1299.50"),
    ("¥1299", "1299"),
    ("￥1,299.00", "1299.00"),
    ("-¥5", "-5"),
    ("¥-5", "-5"),
    ("1299元", "1299"),
    ("CNY 1,299.00", "1299.00"),
    ("1299 RMB", "1299"),
    ("0.123", "0.123"),
    ("19.9900", "19.9900"),
    ("1000.125", "1000.125"),
]


@pytest.mark.parametrize(("given", "amount"), READ)
def test_amounts_with_one_meaning_are_read(given: object, amount: str) -> None:
    assert read_amount(given, "CNY", "EUR") == (amount, "CNY")
    assert read_amount(given, "", "CNY") in ((amount, "CNY"), (amount, ""))


@pytest.mark.parametrize(
    "given",
    [
        "much", "free", "N/A", "", " ", "-", ".", "1e5", "9e999999", "NaN", "inf", "0x10", "1_000",
        "1.299",  # a decimal, or 1299
        "0,299", "1,29,9", "12,34.5", "1,2345", "1.2.3", "1,299,00", "1.299.00", "--5", "5-", "(5)", "5 %", "1.2万",
        "5 or 6", "$5", "US$5", "€5", "USD 5", "5 5元 ", "¥5元", "9" * 19, "5" * 100_000, True, None, [5], {"a": 1},
        float("nan"), float("inf"), 1e300, 10**4_000,
    ],
)  # fmt: skip
def test_what_has_no_meaning_or_several_is_not_read(given: object) -> None:
    assert read_amount(given, "CNY", "CNY") is None


@pytest.mark.parametrize(
    ("text", "currency", "own", "read"),
    [
        ("¥5", "", "CNY", "CNY"),
        ("¥5", "", "JPY", "JPY"),
        ("¥5", "JPY", "CNY", "JPY"),
        ("¥5", "", "USD", None),
        ("¥5", "USD", "CNY", None),
        ("$5", "", "HKD", "HKD"),
        ("$5", "", "CNY", None),
        ("$5", "AUD", "CNY", "AUD"),
        ("US$5", "", "CNY", "USD"),
        ("5 €", "", "CNY", "EUR"),
        ("CN¥5", "", "JPY", "CNY"),
        ("5 USDT", "", "USD", None),
    ],
)
def test_a_mark_is_read_in_the_events_currency_else_the_apps(text: str, currency: str, own: str, read: Any) -> None:
    found = read_amount(text, currency, own)
    assert found == (("5", read) if read else None)


def test_three_digits_may_be_thousandths_where_the_currency_has_them() -> None:
    assert read_amount("1.299", "KWD", "CNY") == ("1.299", "KWD")
    assert read_amount("1,299", "KWD", "CNY") is None
    assert read_amount("1,299", "JPY", "CNY") == ("1299", "JPY")


@pytest.mark.parametrize(
    ("properties", "value"),
    [
        ({}, (0, "CNY", "")),
        ({"revenue": None, "currency": ""}, (0, "CNY", "")),
        ({"revenue": "", "amount": 5}, (500, "CNY", "")),
        ({"revenue": "much", "amount": 5}, (500, "CNY", "")),
        ({"revenue": 100, "currency": "RMB"}, (10_000, "CNY", "")),
        ({"revenue": 100, "currency": " usd "}, (10_000, "USD", "")),
        ({"revenue": "¥1,299.00", "currency": "JPY"}, (1_299, "JPY", "")),
        ({"revenue": "€5"}, (500, "EUR", "")),
        ({"revenue": 100, "currency": "US$"}, (0, "CNY", "unreadable_currency")),
        ({"revenue": "$100", "currency": "US$"}, (0, "CNY", "unreadable_currency")),
        ({"revenue": 100, "currency": 840}, (0, "CNY", "unreadable_currency")),
        ({"revenue": 100, "currency": ["USD"]}, (0, "CNY", "unreadable_currency")),
        ({"revenue": "much", "currency": "USD"}, (0, "USD", "unreadable_value")),
        ({"revenue": "USD 5", "currency": "EUR"}, (0, "EUR", "unreadable_value")),
        ({"revenue": "-5"}, (0, "CNY", "negative_value")),
        ({"revenue": -5, "amount": 7}, (0, "CNY", "negative_value")),
        ({"revenue": 10**17}, (0, "CNY", "unreadable_value")),
    ],
)
def test_the_value_of_an_event(properties: dict[str, Any], value: tuple[int, str, str]) -> None:
    assert read_value(properties, NAMES, "CNY") == value


def test_every_problem_is_told() -> None:
    found = read_money({"revenue": "much", "currency": "euro"}, NAMES, "CNY")
    assert found == Money(
        "", "", problems=(Problem(ValueIssue.CURRENCY, "currency"), Problem(ValueIssue.AMOUNT, "revenue"))
    )


@given(st.decimals(0, 10**9, places=2), st.sampled_from([",.", ".,", " ,", "'."]), st.sampled_from(["¥", "", "CNY "]))
def test_what_is_written_is_read_back(amount: Decimal, style: str, mark: str) -> None:
    text = mark + f"{amount:,.2f}".translate(str.maketrans(",.", style))
    found = read_amount(text, "CNY", "CNY")
    assert found is not None
    assert Decimal(found[0]) == amount


@given(st.text(max_size=40) | st.text("0123456789.,-+ ¥$€'", max_size=20))
def test_any_text_is_a_number_or_none(text: str) -> None:
    found = read_amount(text, "", "CNY")
    assert found is None or Decimal(found[0]).is_finite()
