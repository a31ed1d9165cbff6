import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.core.times import (
    BadTime,
    Shift,
    TimeRange,
    local_text,
    parse_end,
    parse_instant,
    parse_start,
    parse_zone,
    shift_of,
    utc_text,
)

DAY_MS = 24 * 3600 * 1000
JAN_15_MS = 1_705_276_800_000
"""2024-01-15T00:00:00Z"""


@pytest.mark.parametrize(
    ("text", "wanted_ms"),
    [
        ("2024-01-15T00:00:00Z", JAN_15_MS),
        ("2024-01-15t00:00:00z", JAN_15_MS),
        ("2024-01-15 08:00:00+08:00", JAN_15_MS),
        ("2024-01-15T08:00:00 08:00", JAN_15_MS),
        ("2024-01-14T19:00:00-05:00", JAN_15_MS),
        ("2024-01-15T00:00:00.5Z", JAN_15_MS + 500),
        ("2024-01-15T00:00:00.123456789Z", JAN_15_MS + 123),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_instants(text: str, wanted_ms: int) -> None:
    assert parse_instant(text) == wanted_ms


NO_INSTANTS = [
    "",
    "now",
    "2024-01-15T00:00:00",
    "2024-01-15T24:00:00Z",
    "2024-02-30T00:00:00Z",
    "20240115T000000Z",
    "2024-01-15T00:00Z",
    "2024-01-15T00:00:60Z",
    "1969-12-31T23:59:59Z",
    "9999-01-01T00:00:00Z",
    "２024-01-15T00:00:00Z",
    "2024-01-15T00:00:00+99:00",
    "2024-01-15T00:00:00Z\n",
    "2024-W03-1",
]


@pytest.mark.parametrize("text", NO_INSTANTS)
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(BadTime) as caught:
        parse_instant(text)
    assert caught.value.reason.zh
    assert caught.value.reason.en


def test_a_date_begins_and_ends_at_midnight_of_its_zone() -> None:
    assert parse_start("2024-01-15", "UTC") == JAN_15_MS
    assert parse_start("2024-01-15", "Asia/Shanghai") == JAN_15_MS - 8 * 3_600_000
    assert parse_end("2024-01-15", "UTC") == JAN_15_MS + DAY_MS
    assert parse_end("2024-01-15T00:00:00Z", "UTC") == JAN_15_MS


def test_a_day_with_a_change_of_clocks_has_23_or_25_hours() -> None:
    zone = "America/New_York"
    assert parse_end("2024-03-10", zone) - parse_start("2024-03-10", zone) == 23 * 3_600_000
    assert parse_end("2024-11-03", zone) - parse_start("2024-11-03", zone) == 25 * 3_600_000


@pytest.mark.parametrize("text", ["2024-02-30", "2200-01-01", "0001-01-01", "9999-12-31"])
def test_what_is_no_date(text: str) -> None:
    for parse in (parse_start, parse_end):
        with pytest.raises(BadTime):
            parse(text, "UTC")


@pytest.mark.parametrize("name", ["Asia/Shanghai", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_zones(name: str) -> None:
    assert parse_zone(name) == name


@pytest.mark.parametrize(
    "name", ["", "Mars", "asia/shanghai", "../UTC", "/etc/localtime", "localtime", "UTC\x00", "x" * 65]
)
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(BadTime):
        parse_zone(name)


@given(st.integers(0, 7_258_118_399_999))
def test_what_is_written_is_read_back(time_ms: int) -> None:
    assert parse_instant(utc_text(time_ms)) == time_ms


def test_texts() -> None:
    assert utc_text(JAN_15_MS + 7) == "2024-01-15T00:00:00.007Z"
    assert local_text(JAN_15_MS // 1000, "Asia/Shanghai") == "2024-01-15T08:00:00+08:00"
    assert local_text(JAN_15_MS // 1000, "Asia/Kolkata") == "2024-01-15T05:30:00+05:30"


NEW_YORK = "America/New_York"


def _days(start: str, end: str, zone: str) -> TimeRange:
    return TimeRange(parse_start(start, zone), parse_end(end, zone))


@pytest.mark.parametrize(
    ("start", "end", "before"),
    [
        ("2026-03-08", "2026-03-08", "2026-03-07"),  # the clock goes forward: 23 hours, and 24 before
        ("2026-03-09", "2026-03-15", "2026-03-02"),
        ("2026-11-01", "2026-11-01", "2026-10-31"),  # and back
        ("2026-03-01", "2026-03-31", "2026-02-01"),  # whole months
        ("2026-01-01", "2026-03-31", "2025-10-01"),
        ("2026-01-01", "2026-12-31", "2025-01-01"),
        ("2026-02-02", "2026-03-01", "2026-01-05"),  # as many days, but no month
    ],
)
def test_the_period_before_is_of_calendar_days(start: str, end: str, before: str) -> None:
    period = _days(start, end, NEW_YORK)
    assert period.from_ms is not None
    assert shift_of(period, NEW_YORK).before_ms(period.from_ms) == parse_start(before, NEW_YORK)


def test_the_period_before_a_time_that_is_no_whole_days_has_its_length() -> None:
    period = TimeRange(JAN_15_MS + 1, JAN_15_MS + 3_600_001)
    assert shift_of(period, "UTC") == Shift("UTC", length_ms=3_600_000)
