"""Money in smallest units."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.money import MAX_MINOR, from_minor, minor_digits, round_runs, round_together, to_minor


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("CNY", 2), ("USD", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("TND", 3), ("CLF", 4), ("XXX", 2)],
)
def test_digits_of_iso_4217(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        (199, "CNY", 19_900),
        (19.99, "CNY", 1_999),
        (0.1 + 0.2, "CNY", 30),
        ("12.34", "CNY", 1_234),
        (0.005, "CNY", 0),
        (0.015, "CNY", 2),
        (0.025, "CNY", 2),
        (2.5, "JPY", 2),
        (3.5, "JPY", 4),
        (1.2345, "KWD", 1_234),
        (-5, "CNY", -500),
        (0, "CNY", 0),
        (10**15, "CNY", MAX_MINOR),
        (10**15 + 1, "CNY", None),
        pytest.param(10**5000, "CNY", None, id="5001 digits"),
        (1e300, "CNY", None),
        (float("inf"), "CNY", None),
        (float("nan"), "CNY", None),
        ("sNaN", "CNY", None),
        ("9e999999", "CNY", None),
        ("1e-999999", "CNY", 0),
        ("", "CNY", None),
        ("12,5", "CNY", None),
    ],
)
def test_to_minor(amount: float | str, currency: str, minor: int | None) -> None:
    assert to_minor(amount, currency) == minor


@given(st.integers(-(10**17), 10**17), st.sampled_from(["CNY", "JPY", "KWD", "CLF"]))
def test_there_and_back(amount_minor: int, currency: str) -> None:
    assert to_minor(str(from_minor(amount_minor, currency)), currency) == amount_minor


def test_from_minor_keeps_the_digits() -> None:
    assert str(from_minor(1_230, "CNY")) == "12.30"
    assert from_minor(5, "JPY") == Decimal(5)


def test_parts_are_rounded_to_their_sum() -> None:
    assert round_together([100, 100, 100, 0], 300) == [0, 0, 1, 0]
    assert round_together([10, 25, 65], 100) == [0, 0, 1]
    assert round_together([1, 1], 2) == [0, 1]
    assert round_together([], 5) == []


@given(st.lists(st.integers(0, 10**30), max_size=30), st.integers(1, 10**9))
def test_rounded_parts_are_near_and_add_up(parts: list[int], step: int) -> None:
    rounded = round_together(parts, step)
    assert all(abs(whole * step - part) < step for whole, part in zip(rounded, parts, strict=True))
    assert 2 * abs(sum(rounded) * step - sum(parts)) <= step


@given(st.lists(st.tuples(st.integers(0, 10**20), st.integers(1, 5)), max_size=8), st.integers(1, 10**9))
def test_runs_are_rounded_like_their_parts(runs: list[tuple[int, int]], step: int) -> None:
    parts = [part for part, count in runs for _ in range(count)]
    assert [part for part, count in round_runs(runs, step) for _ in range(count)] == round_together(parts, step)
