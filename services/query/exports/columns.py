"""The columns of a file: their names, their SQL expressions, and their types in Parquet. Pure.

JSON lines come out of ClickHouse as they go into a file: times as RFC 3339, amounts as numbers. CSV and Parquet are
made from the same rows through Arrow, so for them times are milliseconds and amounts decimal texts: both become what
they are without rounding, and CSV has the digits as they are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa

from schemas.money import MINOR_DIGITS

MONEY_TYPE: Final = pa.decimal128(38, 4)
"""Type of money in whole units; no currency has more than four digits after the point."""
SHARE_TYPE: Final = pa.decimal128(38, 13)
"""Type of shares in whole units, to the billionth of the smallest one."""
CREDIT_TYPE: Final = pa.decimal128(18, 9)
TIME_TYPE: Final = pa.timestamp("ms", tz="UTC")


class Kind(StrEnum):
    TEXT = "text"
    WHOLE = "whole"
    FLAG = "flag"
    TIME = "time"
    """A time, from milliseconds; 0 is null."""
    MONEY = "money"
    """Money, from smallest units of the currency in the column `currency`."""
    SHARE = "share"
    """Share, like `MONEY`, from billionths of the smallest unit: parts of amounts, which add up exactly."""
    CREDIT = "credit"
    """Credit, from billionths."""
    NUMBER = "number"
    """A decimal fraction, or null."""
    JSON = "json"
    """A JSON value as text; in JSON lines the value itself."""
    TEXTS = "texts"


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    sql: str
    """SQL expression over the columns of its table."""


DECIMALS: Final = frozenset({Kind.MONEY, Kind.SHARE, Kind.CREDIT, Kind.NUMBER})
"""Read as their digits, with no exponent."""
_BY_DIGITS: Final = {
    digits: [currency for currency, its in MINOR_DIGITS.items() if its == digits] for digits in (0, 3, 4)
}
_UNITS: Final = (
    "multiIf("
    + ", ".join(
        f"currency IN ({', '.join(map(repr, names))}), {10**digits}" for digits, names in sorted(_BY_DIGITS.items())
    )
    + ", 100)"
)
"""Smallest units in a whole one, by the column `currency`."""


def money_by_currency(left_minor: str) -> str:
    """Return the expression of a JSON object of whole units by currency.

    `left_minor`: an expression over `currency` and `minor`, which come from the map `totals_minor`.
    """
    member = f"concat('\"', currency, '\":', toString(toDecimal128({left_minor}, 4) / {_UNITS}))"
    members = f"arrayMap((currency, minor) -> {member}, mapKeys(totals_minor), mapValues(totals_minor))"
    return f"concat('{{', arrayStringConcat({members}, ','), '}}')"


_ARROW: Final = {
    Kind.TEXT: pa.string(),
    Kind.WHOLE: pa.int64(),
    Kind.FLAG: pa.bool_(),
    Kind.TIME: pa.int64(),
    Kind.MONEY: pa.string(),
    Kind.SHARE: pa.string(),
    Kind.CREDIT: pa.string(),
    Kind.NUMBER: pa.string(),
    Kind.JSON: pa.string(),
    Kind.TEXTS: pa.list_(pa.string()),
}
_FINAL_ARROW: Final = _ARROW | {
    Kind.TIME: TIME_TYPE,
    Kind.MONEY: MONEY_TYPE,
    Kind.SHARE: SHARE_TYPE,
    Kind.CREDIT: CREDIT_TYPE,
    Kind.NUMBER: pa.decimal128(38, 9),
}


def select_list(columns: Sequence[Column], for_arrow: bool) -> str:
    return ", ".join(f"{_expression(column, for_arrow)} AS {_alias(column)}" for column in columns)


def _alias(column: Column) -> str:
    """Return a name that hides no column of the table, which may stand in a condition."""
    return f"out_{column.name}"


def renaming(columns: Sequence[Column]) -> str:
    return ", ".join(f"{_alias(column)} AS {column.name}" for column in columns)


def _expression(column: Column, for_arrow: bool) -> str:
    sql = column.sql
    if column.kind is Kind.TIME:
        if for_arrow:
            return f"nullIf({sql}, 0)"
        text = f"concat(replaceOne(toString(fromUnixTimestamp64Milli({sql}, 'UTC')), ' ', 'T'), 'Z')"
        return f"if({sql} = 0, NULL, {text})"
    if column.kind is Kind.MONEY:
        return _decimal(f"toDecimal128({sql}, 4) / {_UNITS}", for_arrow)
    if column.kind is Kind.SHARE:
        return _decimal(f"toDecimal256({sql}, 13) / ({_UNITS} * 1000000000)", for_arrow)
    if column.kind is Kind.CREDIT:
        return _decimal(f"toDecimal128({sql}, 9) / 1000000000", for_arrow)
    if column.kind is Kind.FLAG:
        return f"toBool({sql})"
    if column.kind is Kind.TEXTS:
        return f"arrayMap(text -> toString(text), {sql})"
    return sql


def _decimal(sql: str, for_arrow: bool) -> str:
    return f"toString({sql})" if for_arrow else sql


def read_schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the schema of the JSON lines as they come."""
    return pa.schema([(column.name, _ARROW[column.kind]) for column in columns])


def file_schema(columns: Sequence[Column]) -> pa.Schema:
    return pa.schema([(column.name, _FINAL_ARROW[column.kind]) for column in columns])
