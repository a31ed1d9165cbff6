"""Parts of a report that is one statement: one after the other, each with its own numbers. Pure.

One statement reads each table once, as it is at one moment, so nothing is in one part of an answer and missing in
another. A part groups by period and key and, for its totals, by neither; with a comparison, by the time before too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from services.web.errors import Text, invalid

MAX_REPORT_ROWS: Final = 10_000
"""Maximum number of rows of an answer. A report that would be longer is refused: cut short, its rows would not add up
to its totals.
"""
Cell = tuple[int, str]
"""(period: its beginning in seconds since the epoch, 0 without granularity; key)"""


class ReportRow(msgspec.Struct):
    part: str
    is_previous: bool
    is_total: bool
    period: int
    key: str
    numbers: list[int]


WHOLE_RANGE: Final = "false AS is_previous, 0 AS period"
"""The place of a part that is grouped by its key alone."""


@dataclass(frozen=True)
class PartSql:
    """SQL of a part. `source`: a subselect that gives `is_previous`, `period`, `key` and the columns the numbers are
    computed from.
    """

    name: str
    source: str
    numbers: tuple[str, ...]
    """Expressions of aggregates that are whole numbers; of all places together they are the sums over the places."""
    distinct: str | None = None
    """Column whose values are counted, each once: the last of the part's numbers."""


def union(parts: Iterable[PartSql]) -> str:
    """Return the statement. It names the parameter `row_limit`."""
    return "\nUNION ALL\n".join(map(_select, parts))


def _select(part: PartSql) -> str:
    """Select a part. The rows are grouped once, by place; the totals are put together from the places' own numbers.

    A hash of the key divides the rows much faster than its text does, and of 10,000 keys the odds that two share one
    are 1 to 10^11.
    """
    inner = [f"{number} AS number_{index}" for index, number in enumerate(part.numbers)]
    outer = [f"toInt64(sum(number_{index}))" for index in range(len(part.numbers))]
    if part.distinct is not None:
        inner.append(f"uniqExactState({part.distinct}) AS distinct_values")
        outer.append("toInt64(uniqExactMerge(distinct_values))")
    return f"""SELECT * FROM (
SELECT '{part.name}' AS part, is_previous, toBool(grouping(key)) AS is_total, toInt64(period) AS period, key,
    [{", ".join(outer)}] AS numbers
FROM
(
    SELECT is_previous, period, toString(any(key)) AS key, {", ".join(inner)}
    FROM (SELECT *, CAST(sipHash64(key) AS UInt64) AS key_hash FROM ({part.source}))
    GROUP BY is_previous, period, key_hash
)
GROUP BY GROUPING SETS ((is_previous, period, key), (is_previous))
ORDER BY is_total DESC, is_previous, period, key LIMIT {{row_limit:UInt32}})"""


ROW_LIMIT: Final = 2 * (MAX_REPORT_ROWS + 2)
"""Maximum number of rows of a part: a report and the one before it, their totals, and one row each that shows they are
too long.
"""


@dataclass(frozen=True)
class Part:
    """One part's rows, of one of the two periods."""

    numbers: dict[Cell, Sequence[int]]
    totals: Sequence[int] | None


def part_of(rows: Iterable[ReportRow], name: str, is_previous: bool = False) -> Part:
    mine = [row for row in rows if row.part == name and row.is_previous == is_previous]
    total = next((row for row in mine if row.is_total), None)
    numbers: dict[Cell, Sequence[int]] = {(row.period, row.key): row.numbers for row in mine if not row.is_total}
    return Part(numbers, total.numbers if total else None)


def refuse_long(items: Sequence[object], field: str) -> None:
    """Refuse a report that is too long: cut short, it would not add up to its totals. Raises `ApiError`."""
    if len(items) > MAX_REPORT_ROWS:
        reason = Text(
            f"报表超过 {MAX_REPORT_ROWS} 行，请缩小时间范围或选择更粗的划分",
            f"the report has more than {MAX_REPORT_ROWS} rows; ask for a shorter range or a coarser division",
        )
        raise invalid(field, reason)
