"""Rules over windows: an alert when one begins to hold and one when it stops, however the measures come."""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.alerts import Judge, Window, first_window_from_ms, percentile_ms, windows
from schemas.control import AlertMetric, AlertRule, Comparison
from schemas.facts import LATENCY_BOUNDS_MS, AlertRow, AlertWindowRow

HOUR_MS = 3_600_000
START_MS = 500_000 * HOUR_MS


def rule(
    comparison: Comparison = Comparison.ABOVE,
    threshold: float = 100,
    *,
    metric: AlertMetric = AlertMetric.EVENTS,
    window_seconds: int = 3_600,
    trailing_windows: int = 3,
    active_from_ms: int = 0,
) -> AlertRule:
    return AlertRule(
        "rule_1", "shop", "Too much", metric, comparison, threshold, window_seconds, trailing_windows,
        active_from_ms=active_from_ms,
    )  # fmt: skip


def rows(values: list[float | None]) -> list[AlertWindowRow]:
    return [
        AlertWindowRow("shop", "rule_1", START_MS + n * HOUR_MS, START_MS + (n + 1) * HOUR_MS, value, (n + 7) * 1000)
        for n, value in enumerate(values)
    ]


def told(judged: AlertRule, values: list[float | None]) -> list[tuple[str, int]]:
    """(state, number of the window)"""
    alerts = Judge(judged, "CNY").take_all(rows(values))
    return [(alert.state, (alert.window_start_ms - START_MS) // HOUR_MS) for alert in alerts]


def test_one_alert_when_it_begins_and_one_when_it_ends() -> None:
    assert told(rule(), [50, 100, 101, 500, 101, 100, 7, 101]) == [("began", 2), ("ended", 5), ("began", 7)]
    assert told(rule(Comparison.BELOW), [100, 99, 1, 100]) == [("began", 1), ("ended", 3)]


def test_what_an_alert_says() -> None:
    began, ended = Judge(rule(), "CNY").take_all(rows([7, 150, 20]))
    assert (began.value, began.threshold, began.average, began.unit) == (150, 100, None, "events")
    assert began.began_at_ms == began.window_end_ms == ended.began_at_ms
    assert ended.window_end_ms == began.window_end_ms + HOUR_MS
    assert began.fired_at_ms == 8
    assert began.alert_id != ended.alert_id
    assert Judge(rule(metric=AlertMetric.VALUE), "EUR").take_all(rows([150]))[0].unit == "EUR"


def test_a_window_that_says_nothing_changes_nothing() -> None:
    assert told(rule(), [101, None, None, 101, 1]) == [("began", 0), ("ended", 4)]


@pytest.mark.parametrize(
    ("comparison", "value", "holds"),
    [
        (Comparison.ABOVE_AVERAGE, 151, True),
        (Comparison.ABOVE_AVERAGE, 150, False),
        (Comparison.ABOVE_AVERAGE, 1, False),
        (Comparison.BELOW_AVERAGE, 49, True),
        (Comparison.BELOW_AVERAGE, 50, False),
        (Comparison.BELOW_AVERAGE, 1_000, False),
        (Comparison.OFF_AVERAGE, 151, True),
        (Comparison.OFF_AVERAGE, 49, True),
        (Comparison.OFF_AVERAGE, 100, False),
    ],
)
def test_against_the_average_of_the_windows_before_it(comparison: Comparison, value: float, holds: bool) -> None:
    judged = rule(comparison, 50)
    assert told(judged, [80, 120, 100, value]) == ([("began", 3)] if holds else [])
    if holds:
        (alert,) = Judge(judged, "CNY").take_all(rows([80, 120, 100, value]))
        assert alert.average == 100
        assert alert.threshold == (150 if value > 100 else 50)


def test_no_average_no_verdict() -> None:
    assert told(rule(Comparison.OFF_AVERAGE, 50), [100, 9_999, 1]) == []
    assert told(rule(Comparison.ABOVE_AVERAGE, 50), [0, 0, 0, 9_999]) == [], "nothing is more than half again of none"


def test_windows_before_the_rule_only_make_its_average() -> None:
    judged = rule(Comparison.BELOW_AVERAGE, 50, active_from_ms=START_MS + 4 * HOUR_MS)
    assert told(judged, [100, 100, 100, 1, 1]) == [("began", 4)]
    assert first_window_from_ms(judged) == START_MS + HOUR_MS
    assert first_window_from_ms(rule(active_from_ms=START_MS)) == START_MS


VALUES = st.lists(st.one_of(st.none(), st.integers(0, 30).map(float)), max_size=60)
RULES = st.builds(
    rule,
    st.sampled_from(Comparison),
    st.integers(0, 60).map(float),
    trailing_windows=st.integers(1, 5),
    active_from_ms=st.integers(0, 20).map(lambda n: START_MS + n * HOUR_MS),
)


@given(RULES, VALUES, st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_two_processes_and_any_crash_give_the_alerts_of_one_undisturbed(judged, values, random) -> None:
    """The log as it stands after repeats, with other measures for windows that were measured already, read in pieces,
    and from its start after each crash: the alerts told, by their ids, are those of a plain reading."""
    plain = Judge(judged, "CNY").take_all(rows(values))
    log: list[AlertWindowRow] = []
    for row in rows(values):
        log.append(row)
        while random.random() < 0.4:
            again = random.choice(log)
            log.append(AlertWindowRow("shop", "rule_1", again.window_start_ms, again.window_end_ms, 999.0, 1))
    heard: dict[str, AlertRow] = {}
    at = 0
    while at < len(log):
        judge = Judge(judged, "CNY")
        at = random.randint(at + 1, len(log))
        for alert in judge.take_all(log[:at]):
            assert heard.setdefault(alert.alert_id, alert) == alert, "one id, one content"
    assert list(heard.values()) == plain
    states = [alert.state for alert in plain]
    assert states == ["began", "ended"] * (len(states) // 2) + ["began"] * (len(states) % 2)


def test_windows_tile_the_time() -> None:
    found = windows(rule(), "Asia/Shanghai", START_MS - 1, START_MS + 3 * HOUR_MS, 10)
    assert found == [Window(START_MS + n * HOUR_MS, START_MS + (n + 1) * HOUR_MS) for n in range(3)]
    assert windows(rule(), "Asia/Shanghai", START_MS + 1, START_MS + 2 * HOUR_MS, 10) == [
        Window(START_MS + HOUR_MS, START_MS + 2 * HOUR_MS)
    ]
    assert len(windows(rule(), "UTC", 0, START_MS, 7)) == 7


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "America/New_York"])
def test_a_day_is_the_apps_own(zone: str) -> None:
    begin = int(datetime(2026, 3, 1, 0, 0, tzinfo=ZoneInfo(zone)).timestamp() * 1000)
    days = windows(rule(window_seconds=86_400), zone, begin, begin + 60 * 24 * HOUR_MS, 40)
    assert days[0].start_ms == begin
    assert all(one.end_ms == other.start_ms for one, other in pairwise(days))
    hours = {(day.end_ms - day.start_ms) // HOUR_MS for day in days}
    assert hours == ({24} if zone == "Asia/Shanghai" else {23, 24})


def test_the_95th_percentile_from_counts() -> None:
    empty = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    assert percentile_ms(empty, LATENCY_BOUNDS_MS, 0.95) is None
    all_fast = [100, *empty[1:]]
    assert percentile_ms(all_fast, LATENCY_BOUNDS_MS, 0.95) == pytest.approx(4.75)
    mixed = [0, 0, 0, 0, 0, 0, 90, 10, 0, 0, 0, 0]  # 90 up to 500 ms, 10 up to 1000 ms
    assert percentile_ms(mixed, LATENCY_BOUNDS_MS, 0.95) == pytest.approx(750)
    assert percentile_ms([*empty[:-1], 5], LATENCY_BOUNDS_MS, 0.95) == 10_000
