"""Numbers, money, shares and times as a language writes them. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.numbers import format_compact_decimal, format_currency, format_decimal, format_percent

from services.web.envelope import Language

Number = int | float | Decimal
NONE: Final = "–"
_LOCALES: Final[dict[Language, str]] = {"zh": "zh_CN", "en": "en"}
_UNITS: Final[dict[Language, tuple[str, ...]]] = {"zh": (" 天", " 小时", " 分", " 秒"), "en": ("d", "h", "m", "s")}


@dataclass(frozen=True)
class Formats:
    """How one person reads values: in a language and a time zone."""

    language: Language
    zone: str = "UTC"

    @property
    def locale(self) -> str:
        return _LOCALES[self.language]

    def number(self, value: Number | None, digits: int = 0) -> str:
        """`1,234`; with up to `digits` digits after the point."""
        if value is None:
            return NONE
        if not digits:
            return f"{value:,.0f}"  # alike in both languages, and much quicker than by a pattern
        pattern = "#,##0" + "." + "#" * digits
        return format_decimal(value, format=pattern, locale=self.locale)

    def credit(self, value: Number | None) -> str:
        """A count that credit may have split: two digits after the point where it is not whole."""
        if value is None or value == int(value):
            return self.number(value)
        return format_decimal(value, format="#,##0.00", locale=self.locale)

    def money(self, value: Number | None, currency: str) -> str:
        return NONE if value is None else format_currency(value, currency, locale=self.locale)

    def short(self, value: Number | None) -> str:
        """`12K`, `1.2万`: for axes."""
        return NONE if value is None else format_compact_decimal(value, locale=self.locale, fraction_digits=1)

    def share(self, value: Number | None, digits: int = 1) -> str:
        """`0.123` → `12.3%`"""
        if value is None:
            return NONE
        return format_percent(value, format="#,##0" + ("." + "0" * digits if digits else "") + "%", locale=self.locale)

    def time(self, given: str | int | None) -> str:
        """A date and time to the second, in the zone. `given`: RFC 3339, or milliseconds since the epoch."""
        if given is None or given == "":
            return NONE
        return f"{self._moment(given):%Y-%m-%d %H:%M:%S}"

    def day(self, given: str) -> str:
        """A day. `given`: a date, or a time whose date is meant."""
        return format_date(date.fromisoformat(given[:10]), "medium", locale=self.locale)

    def short_day(self, given: str) -> str:
        return format_date(
            date.fromisoformat(given[:10]), "M月d日" if self.language == "zh" else "MMM d", locale=self.locale
        )

    def clock(self, given: str | int) -> str:
        return f"{self._moment(given):%H:%M:%S}"

    def duration(self, seconds: Number | None) -> str:
        """`3d 4h`, `5m 12s`, `5 分 12 秒`: the two largest units."""
        if seconds is None:
            return NONE
        left = int(seconds)
        parts: list[str] = []
        for unit, size in zip(_UNITS[self.language], (86_400, 3_600, 60, 1), strict=True):
            count, left = divmod(left, size)
            if count or (size == 1 and not parts):
                parts.append(f"{count}{unit}")
        return " ".join(parts[:2])

    def _moment(self, given: str | int) -> datetime:
        moment = datetime.fromtimestamp(given / 1000, UTC) if isinstance(given, int) else datetime.fromisoformat(given)
        return moment.astimezone(ZoneInfo(self.zone))
