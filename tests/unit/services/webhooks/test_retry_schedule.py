"""Schedule of retries: delays, jitter, `Retry-After`, deferrals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.webhooks.retry_schedule import RetrySchedule, deferral_ms, parse_retry_after

SCHEDULE = RetrySchedule()
NOW_MS = 1_700_000_000_000


def test_the_rungs_are_those_promised() -> None:
    assert SCHEDULE.attempts == 8
    middles = [SCHEDULE.delay_ms(attempt, 0.5) for attempt in range(1, 8)]
    assert middles == [5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 36_000_000]
    assert SCHEDULE.delay_ms(8, 0.5) is None


@given(st.integers(1, 7), st.floats(0, 1, exclude_max=True))
def test_jitter_is_a_fifth_up_and_down(attempt: int, unit: float) -> None:
    delay = SCHEDULE.delay_ms(attempt, unit)
    assert delay is not None
    middle = SCHEDULE.delays_seconds[attempt - 1] * 1000
    assert 0.8 * middle - 1 <= delay <= 1.2 * middle


def test_jitter_reaches_both_ends() -> None:
    assert SCHEDULE.delay_ms(1, 0.0) == 4_000
    assert SCHEDULE.delay_ms(1, 0.999999) == 5_999


def test_retry_after_is_obeyed_where_it_asks_for_longer_and_up_to_a_day() -> None:
    assert SCHEDULE.delay_ms(1, 0.5, 120.0) == 120_000
    assert SCHEDULE.delay_ms(1, 0.5, 1.0) == 5_000
    assert SCHEDULE.delay_ms(1, 0.5, 10.0**9) == 86_400_000
    assert SCHEDULE.delay_ms(8, 0.5, 120.0) is None, "it does not add an attempt"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Tue, 14 Nov 2023 22:15:20 GMT", 120.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 30, 999_999_999.0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(header: str, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW_MS) == seconds


def test_deferrals_grow_up_to_about_an_hour_and_a_minute_where_the_endpoint_works() -> None:
    down, behind = ([deferral_ms(n, is_working) // 1000 for n in range(7)] for is_working in (False, True))
    assert down == [16, 64, 256, 1_024, 4_096, 4_096, 4_096]
    assert behind == [4, 16, 64, 64, 64, 64, 64]


def test_a_delivery_outlives_its_schedule() -> None:
    longest = sum(SCHEDULE.delay_ms(attempt, 0.999999) or 0 for attempt in range(1, 8))
    assert SCHEDULE.life_ms > longest


def test_a_schedule_without_delays_is_one_attempt() -> None:
    assert RetrySchedule(()).attempts == 1
