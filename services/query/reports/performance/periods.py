"""The periods of a report: hours, days, weeks (from Monday) and months, as they begin in a time zone. Pure."""

from enum import StrEnum
from typing import Final


class Granularity(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


_LOCAL: Final = "fromUnixTimestamp64Milli({column}, {{zone:String}})"
_BEGINNINGS: Final = {
    Granularity.HOUR: f"toStartOfHour({_LOCAL})",
    Granularity.DAY: f"toStartOfDay({_LOCAL})",
    Granularity.WEEK: f"toDateTime(toStartOfWeek({_LOCAL}, 1), {{{{zone:String}}}})",
    Granularity.MONTH: f"toDateTime(toStartOfMonth({_LOCAL}), {{{{zone:String}}}})",
}


def period_sql(column: str, granularity: Granularity | None) -> str:
    """Return the expression of the beginning of the period that `column` (milliseconds) lies in, in seconds since the
    epoch; 0 without granularity.

    It names the parameter `zone`, which `zone_parameters` gives.
    """
    if granularity is None:
        return "materialize(toUInt32(0))"
    return f"toUnixTimestamp({_BEGINNINGS[granularity].format(column=column)})"


def zone_parameters(granularity: Granularity | None, zone: str) -> dict[str, str]:
    return {} if granularity is None else {"zone": zone}
