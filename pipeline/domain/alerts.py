"""Threshold alerts: which windows a rule looks at, whether it holds in one, and what is told when that changes. Pure.

A rule looks at tumbling windows, one after the other, each once. What a window came to is measured outside, when event
time has passed its end in every partition, and is written down (`AlertWindowRow`) before anything follows from it. From
there on everything is a function of the rule and of what was written down, in order: `Judge` folds the rows, and gives
an `AlertRow` when the rule begins to hold and one when it stops. So after a crash, or with two processes at it, the
same alerts come out again, under the same ids.

Late data: a window that was measured stays as it was. Events that come in later change the tables and the reports, not
the window, and no alert is taken back or sent again because of them.

A window in which the metric says nothing (the rate of no events) changes nothing, nor does one without an average yet.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from schemas.control import AlertMetric, AlertRule, Comparison
from schemas.facts import AlertRow, AlertState, AlertWindowRow
from schemas.ids import alert_id

DAY_SECONDS: Final = 86_400
_UNITS: Final = {
    AlertMetric.EVENTS: "events",
    AlertMetric.CONVERSIONS: "conversions",
    AlertMetric.REJECTED_RATE: "%",
    AlertMetric.API_LATENCY: "ms",
}


@dataclass(frozen=True, order=True)
class Window:
    """Window from `start_ms`, and before `end_ms`."""

    start_ms: int
    end_ms: int


def windows(rule: AlertRule, timezone: str, from_ms: int, through_ms: int, limit: int) -> list[Window]:
    """The first `limit` windows of a rule that begin at `from_ms` or later and end at `through_ms` or before."""
    found: list[Window] = []
    for window in _windows_from(rule.window_seconds, timezone, from_ms):
        if window.end_ms > through_ms or len(found) == limit:
            return found
        found.append(window)
    return found


def _windows_from(window_seconds: int, timezone: str, from_ms: int) -> Iterator[Window]:
    if window_seconds == DAY_SECONDS:
        yield from _days_from(ZoneInfo(timezone), from_ms)
    length_ms = window_seconds * 1000
    start_ms = -(-from_ms // length_ms) * length_ms
    while True:
        yield Window(start_ms, start_ms + length_ms)
        start_ms += length_ms


def _days_from(zone: ZoneInfo, from_ms: int) -> Iterator[Window]:
    """Local days, which are longer and shorter when clocks change."""
    day = datetime.fromtimestamp(from_ms / 1000, UTC).astimezone(zone).date()
    while True:
        start_ms, end_ms = (_midnight_ms(day + timedelta(days=n), zone) for n in (0, 1))
        if start_ms >= from_ms:
            yield Window(start_ms, end_ms)
        day += timedelta(days=1)


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000


def first_window_from_ms(rule: AlertRule) -> int:
    """Return where to begin measuring: the first averages are over windows before the rule is active."""
    before = rule.trailing_windows if rule.comparison.is_relative else 0
    return max(0, rule.active_from_ms - before * rule.window_seconds * 1000)


@dataclass(frozen=True)
class _Verdict:
    holds: bool
    threshold: float
    average: float | None


class Judge:
    """Judge of one rule through its windows. `currency`: of its app."""

    def __init__(self, rule: AlertRule, currency: str) -> None:
        self._rule = rule
        self._unit = currency if rule.metric is AlertMetric.VALUE else _UNITS[rule.metric]
        self._values: list[float] = []
        """Values of the last windows, as many as the average is of."""
        self._began_at_ms: int | None = None
        self.measured_through_ms = 0
        """The end of the last window; 0 before the first."""

    @property
    def holds(self) -> bool:
        return self._began_at_ms is not None

    def take(self, row: AlertWindowRow) -> AlertRow | None:
        """The next window's measure. One that is not after the last is one of two for the same window: the first
        stands, this one is passed over."""
        if row.window_start_ms < self.measured_through_ms:
            return None
        self.measured_through_ms = row.window_end_ms
        if row.value is None:
            return None
        verdict = self._judge(row.value)
        self._values = [*self._values, row.value][-self._rule.trailing_windows :]
        if verdict is None or row.window_start_ms < self._rule.active_from_ms or verdict.holds == self.holds:
            return None
        return self._change(row, row.value, verdict)

    def take_all(self, rows: Iterable[AlertWindowRow]) -> list[AlertRow]:
        return [alert for row in rows if (alert := self.take(row)) is not None]

    def _judge(self, value: float) -> _Verdict | None:
        rule = self._rule
        if not rule.comparison.is_relative:
            is_above = rule.comparison is Comparison.ABOVE
            return _Verdict(value > rule.threshold if is_above else value < rule.threshold, rule.threshold, None)
        average = self._average()
        if average is None:
            return None
        upper, lower = average * (1 + rule.threshold / 100), average * (1 - rule.threshold / 100)
        is_high = rule.comparison is not Comparison.BELOW_AVERAGE and value > upper
        is_low = rule.comparison is not Comparison.ABOVE_AVERAGE and value < lower
        says_lower = is_low or (rule.comparison is Comparison.BELOW_AVERAGE)
        return _Verdict(is_high or is_low, lower if says_lower else upper, average)

    def _average(self) -> float | None:
        """Return the average; None until there are as many windows as it needs, and where nothing ever happened in
        them.
        """
        if len(self._values) < self._rule.trailing_windows:
            return None
        return sum(self._values) / len(self._values) or None

    def _change(self, row: AlertWindowRow, value: float, verdict: _Verdict) -> AlertRow:
        rule = self._rule
        began_at_ms = self._began_at_ms if self._began_at_ms is not None else row.window_end_ms
        self._began_at_ms = row.window_end_ms if verdict.holds else None
        state = AlertState.BEGAN if verdict.holds else AlertState.ENDED
        return AlertRow(
            app_id=rule.app_id,
            alert_id=alert_id(rule.app_id, rule.rule_id, state.value, row.window_end_ms),
            rule_id=rule.rule_id,
            rule_name=rule.name,
            metric=rule.metric.value,
            subject=rule.subject,
            comparison=rule.comparison.value,
            threshold=verdict.threshold,
            value=value,
            average=verdict.average,
            unit=self._unit,
            state=state.value,
            window_start_ms=row.window_start_ms,
            window_end_ms=row.window_end_ms,
            began_at_ms=began_at_ms,
            fired_at_ms=row.evaluated_at_us // 1000,
        )


def percentile_ms(counts: list[int], bounds_ms: tuple[int, ...], share: float) -> float | None:
    """The time within which `share` of the requests were answered, from their counts per bound (and above the last).

    Linear within a bucket, as Prometheus' `histogram_quantile` has it; the last bound where it lies above that. None:
    there were no requests.
    """
    total = sum(counts)
    if total == 0:
        return None
    rank, below = share * total, 0
    for index, bound in enumerate(bounds_ms):
        if counts[index] and below + counts[index] >= rank:
            lower = bounds_ms[index - 1] if index else 0
            return lower + (bound - lower) * (rank - below) / counts[index]
        below += counts[index]
    return float(bounds_ms[-1])
