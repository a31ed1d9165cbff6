"""Times in parameters (`from`, `to`, `tz`) and answers (RFC 3339). Pure.

`from` and `to` are RFC 3339 instants or dates. An instant in `to` is the first moment that no longer counts; a date
in `from` begins at midnight of `tz`, and a date in `to` counts to the end of that day, so `from=2024-01-01` with
`to=2024-01-31` is all of January.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final, overload
from zoneinfo import ZoneInfo, available_timezones

from services.web.errors import Text

_DATE: Final = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_INSTANT: Final = re.compile(
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?([Zz]|[+\- ][0-9]{2}:[0-9]{2})\Z"
)
_ZONE: Final = re.compile(r"^[A-Za-z0-9_+\-/]{1,64}\Z")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2199
_MILLISECOND: Final = timedelta(milliseconds=1)


class BadTime(ValueError):
    """Error: `reason` says what is wrong with the text, to the caller who sent it."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.reason = Text(zh, en)


@dataclass(frozen=True)
class TimeRange:
    """Range from `from_ms`, inclusive, to `to_ms`, exclusive; None: open on that side."""

    from_ms: int | None = None
    to_ms: int | None = None


ALL_TIME: Final = TimeRange()


@cache
def _zone_names() -> frozenset[str]:
    # `localtime` is this machine's zone under another name: an answer must not depend on where it is computed.
    return frozenset(available_timezones()) - {"localtime", "Factory"}


def parse_zone(name: str) -> str:
    """Return `name` if it is an IANA time zone. Raises `BadTime`."""
    if not _ZONE.match(name) or name not in _zone_names():
        raise BadTime("应为 IANA 时区，如 Asia/Shanghai", "not an IANA time zone such as Asia/Shanghai")
    return name


def parse_start(text: str, zone: str) -> int:
    """Parse a `from` into milliseconds since the epoch. Raises `BadTime`."""
    if _DATE.match(text):
        return _midnight_ms(_parse_date(text), zone)
    return parse_instant(text)


def parse_end(text: str, zone: str) -> int:
    """Parse a `to` into milliseconds since the epoch: for a date, the midnight after it. Raises `BadTime`."""
    if _DATE.match(text):
        return _midnight_ms(_parse_date(text) + timedelta(days=1), zone)
    return parse_instant(text)


@dataclass(frozen=True)
class Shift:
    """Distance to the period before: whole months, whole days of the zone, or a length.

    A calendar day is neither an instant nor a length: over a clock change it has 23 or 25 hours.
    """

    zone: str
    months: int = 0
    days: int = 0
    length_ms: int = 0

    def before_ms(self, time_ms: int) -> int:
        """Return the same place in the period before: the same time of day so many local days earlier."""
        if not (self.months or self.days):
            return time_ms - self.length_ms
        local = local_time(time_ms, self.zone)
        day = _months_before(local.date(), self.months) - timedelta(days=self.days)
        earlier = datetime.combine(day, local.time().replace(fold=0), ZoneInfo(self.zone))
        return (earlier - _EPOCH) // _MILLISECOND


def shift_of(period: TimeRange, zone: str) -> Shift:
    """Return the shift from a period, which has both ends, to the one before it: of whole months as many months, of
    whole days of the zone as many days, else of the same length.
    """
    assert period.from_ms is not None
    assert period.to_ms is not None
    start, end = local_time(period.from_ms, zone), local_time(period.to_ms, zone)
    if start.time() != time() or end.time() != time():
        return Shift(zone, length_ms=period.to_ms - period.from_ms)
    months = (end.year - start.year) * 12 + end.month - start.month
    if start.day == end.day == 1 and months:
        return Shift(zone, months=months)
    return Shift(zone, days=(end.date() - start.date()).days)


def _months_before(day: date, months: int) -> date:
    """Go back whole months. The last day of a shorter month stands for days it has not."""
    index = day.year * 12 + day.month - 1 - months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def local_time(time_ms: int, zone: str) -> datetime:
    return (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(ZoneInfo(zone))


def parse_instant(text: str) -> int:
    """Parse RFC 3339 with a zone into milliseconds since the epoch, finer digits cut off. Raises `BadTime`.

    A space before the offset is read as `+`, which is what an unescaped plus in a URL turns into.
    """
    match = _INSTANT.match(text)
    if match is None:
        raise BadTime(
            "应为带时区的 RFC 3339 时间（2024-01-15T10:30:00Z）或日期（2024-01-15）",
            "neither an RFC 3339 time with a zone (2024-01-15T10:30:00Z) nor a date (2024-01-15)",
        )
    day, clock, fraction, offset = match.groups()
    offset = "+00:00" if offset in "Zz" else offset.replace(" ", "+")
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}{offset}")
    except ValueError as error:
        raise BadTime("没有这个时间", f"there is no such time: {error}") from None
    _check_year(whole.year)
    return (whole - _EPOCH) // _MILLISECOND + int((fraction or ".0")[1:4].ljust(3, "0"))


def _parse_date(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise BadTime("没有这个日期", f"there is no such date: {error}") from None
    _check_year(day.year)
    return day


def _check_year(year: int) -> None:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        years = f"{_FIRST_YEAR}-{_LAST_YEAR}"
        raise BadTime(f"年份应在 {years} 之间", f"the year must be in {years}")


def _midnight_ms(day: date, zone: str) -> int:
    return (datetime.combine(day, time(), ZoneInfo(zone)) - _EPOCH) // _MILLISECOND


def utc_text(time_ms: int) -> str:
    """Format a time in UTC: `2024-01-15T10:30:00.000Z`"""
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


@overload
def time_in_zone(time_ms: int, zone: str) -> str: ...
@overload
def time_in_zone(time_ms: None, zone: str) -> None: ...
@overload
def time_in_zone(time_ms: int | None, zone: str) -> str | None: ...
def time_in_zone(time_ms: int | None, zone: str) -> str | None:
    """Format a time as answers give it: `2024-01-15T18:30:00.000+08:00`. None: there is none to give."""
    return None if time_ms is None else local_time(time_ms, zone).isoformat(timespec="milliseconds")


def local_text(epoch_seconds: int, zone: str) -> str:
    """Format a local time, to the second: `2024-01-15T00:00:00+08:00`"""
    return (_EPOCH + timedelta(seconds=epoch_seconds)).astimezone(ZoneInfo(zone)).isoformat()
