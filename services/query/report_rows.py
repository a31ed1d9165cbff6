"""The rows of a report that is one statement: its parts one after the other, each with its own numbers. Pure.

One statement reads each table once, as it is at one moment, so nothing is in one part of an answer and missing in
another. A part groups by period and key and, for its totals, by neither; with a comparison, by the time before too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from pipeline.runtime.http.errors import Text, invalid
from services.query.credits import MAX_REPORT_ROWS

Place = tuple[int, str]
"""(period: its beginning in seconds since the epoch, 0 without granularity; key)"""


class ReportRow(msgspec.Struct):
    part: str
    is_previous: bool
    is_total: bool
    period: int
    key: str
    numbers: list[int]
    currencies: list[str]
    """Other ones than that of the report; in totals alone."""


@dataclass(frozen=True)
class PartSql:
    """`source`: a subselect that gives `is_previous`, `period`, `key` and what `numbers` are computed from."""

    name: str
    source: str
    numbers: tuple[str, ...]
    """Expressions of aggregates that are whole numbers."""
    currency: str = "''"
    """An expression over the source's columns."""


_OTHERS: Final = "arraySort(groupUniqArrayIf({currency}, {currency} NOT IN ('', {{currency:String}})))"


def union(parts: Iterable[PartSql]) -> str:
    """The statement. It names the parameter `row_limit`, and `currency` where a part has one."""
    return "\nUNION ALL\n".join(map(_select, parts))


def _select(part: PartSql) -> str:
    numbers = ", ".join(f"toInt64({number})" for number in part.numbers)
    others = _OTHERS.format(currency=part.currency) if part.currency != "''" else "[]"
    return f"""SELECT * FROM (
SELECT '{part.name}' AS part, is_previous, toBool(grouping(key)) AS is_total, toInt64(period) AS period,
    toString(key) AS key, [{numbers}] AS numbers,
    arrayMap(c -> toString(c), {others}) AS currencies
FROM ({part.source})
GROUP BY GROUPING SETS ((is_previous, period, key), (is_previous))
ORDER BY is_total DESC, is_previous, period, key LIMIT {{row_limit:UInt32}})"""


ROW_LIMIT: Final = 2 * (MAX_REPORT_ROWS + 2)
"""Of a part: a report and the one before it, their totals, and one row each that tells they are too long."""


@dataclass(frozen=True)
class Part:
    """One part's rows, of one of the two periods."""

    numbers: dict[Place, Sequence[int]]
    totals: Sequence[int] | None
    currencies: tuple[str, ...]


def part_of(rows: Iterable[ReportRow], name: str, is_previous: bool = False) -> Part:
    mine = [row for row in rows if row.part == name and row.is_previous == is_previous]
    total = next((row for row in mine if row.is_total), None)
    numbers: dict[Place, Sequence[int]] = {(row.period, row.key): row.numbers for row in mine if not row.is_total}
    return Part(numbers, total.numbers if total else None, tuple(total.currencies) if total else ())


def refuse_long(items: Sequence[object], field: str, max_rows: int = MAX_REPORT_ROWS) -> None:
    """Raises `ApiError`: a report cut short would not add up to its totals."""
    if len(items) > max_rows:
        reason = Text(
            f"报表超过 {max_rows} 行，请缩小时间范围或选择更粗的划分",
            f"the report has more than {max_rows} rows; ask for a shorter range or a coarser division",
        )
        raise invalid(field, reason)
