"""The watermark: how far event time has come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.watermark import NOTHING_SEEN, Watermark

NOW = 1_800_000_000_000
DAY = 86_400_000


def test_it_follows_the_greatest_event_time() -> None:
    watermark = Watermark(60_000)
    assert watermark.value_ms == NOTHING_SEEN
    watermark.observe(NOW, NOW + 5)
    assert watermark.value_ms == NOW - 60_000
    watermark.observe(NOW - 10_000, NOW + 6)
    assert watermark.value_ms == NOW - 60_000
    watermark.observe(NOW + 1, NOW + 7)
    assert watermark.value_ms == NOW - 59_999


def test_an_event_from_the_future_counts_as_of_its_receipt() -> None:
    watermark = Watermark(60_000)
    watermark.observe(NOW + DAY, NOW)
    assert watermark.value_ms == NOW - 60_000


def test_idle_time_moves_it_on_at_the_clocks_rate() -> None:
    watermark = Watermark(0)
    watermark.idle_for(10_000)
    assert watermark.value_ms == NOTHING_SEEN
    watermark.observe(NOW - 30 * DAY, NOW)  # a backfill of last month
    watermark.idle_for(10_000)
    assert watermark.value_ms == NOW - 30 * DAY + 10_000
    watermark.idle_for(-5)
    assert watermark.value_ms == NOW - 30 * DAY + 10_000


def test_it_goes_on_from_where_it_stood() -> None:
    watermark = Watermark(60_000, NOW)
    watermark.observe(NOW, NOW)
    assert watermark.value_ms == NOW


def test_negative_out_of_orderness_is_refused() -> None:
    with pytest.raises(ValueError, match="out-of-orderness"):
        Watermark(-1)


@given(st.lists(st.tuples(st.integers(1, NOW), st.integers(1, NOW), st.integers(-10, DAY))))
def test_it_never_goes_back_and_is_never_ahead_of_receipt_and_idle_time(facts: list[tuple[int, int, int]]) -> None:
    watermark, latest, idle = Watermark(1_000), 0, 0
    for event_ms, received_ms, elapsed_ms in facts:
        before = watermark.value_ms
        watermark.observe(event_ms, received_ms)
        watermark.idle_for(elapsed_ms)
        latest, idle = max(latest, received_ms), idle + max(elapsed_ms, 0)
        assert before <= watermark.value_ms <= latest + idle
