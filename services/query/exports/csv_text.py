"""Rows of a table as CSV text, for machines or for a spreadsheet. Pure.

For machines: text in double quotes, numbers and flags without, times in UTC with a `Z`, nulls as nothing.
For a spreadsheet, which reads what it opens as if it had been typed: a byte order mark, without which Excel takes
another encoding than UTF-8; times as a clock of the zone shows them, to the second; and an apostrophe before text that
would be read as a formula.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from services.query.core.times import local_time
from services.query.exports.columns import DECIMALS, TIME_TYPE, Column, Kind

BYTE_ORDER_MARK: Final = "\ufeff"
_FORMULA: Final = "^([=+\\-@\t\r\n＝＋－＠])"
"""First characters of text that spreadsheets take for a formula; wide characters where the locale has them."""


def csv_header(columns: Sequence[Column], sheet_zone: str | None) -> bytes:
    """`sheet_zone`: the zone of times in a file for a spreadsheet; None: the file is for machines."""
    names = ",".join(f'"{column.name}"' for column in columns) + "\n"
    return (names if sheet_zone is None else BYTE_ORDER_MARK + names).encode()


def csv_lines(table: pa.Table, columns: Sequence[Column], sheet_zone: str | None) -> bytes:
    """`table`: as `columns.read_schema` describes it."""
    if not table.num_rows:
        return b""
    cells = [_cells(table.column(column.name), column.kind, sheet_zone) for column in columns]
    lines = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="")
    return ("\n".join(lines.to_pylist()) + "\n").encode()


def _cells(values: Any, kind: Kind, sheet_zone: str | None) -> Any:
    if kind in DECIMALS:
        return values  # digits already, and in no other form: Arrow would write a zero as 0E-9
    if kind is Kind.TIME:
        return pc.cast(pc.cast(values, TIME_TYPE), pa.string()) if sheet_zone is None else _local(values, sheet_zone)
    if kind is Kind.TEXTS:  # CSV has no lists: they are JSON there
        values = pa.array([msgspec.json.encode(texts).decode() for texts in values.to_pylist()], pa.string())
    elif kind not in (Kind.TEXT, Kind.JSON):
        return pc.cast(values, pa.string())
    return _quoted(values if sheet_zone is None else _neutralised(values))


def _local(values: Any, zone: str) -> Any:
    """`2024-01-15 18:30:00`: a form that all spreadsheets take for a time."""
    return pa.array([None if at is None else _clock(at, zone) for at in values.to_pylist()], pa.string())


def _clock(time_ms: int, zone: str) -> str:
    return local_time(time_ms, zone).replace(tzinfo=None).isoformat(" ", "seconds")


def _neutralised(values: Any) -> Any:
    return pc.replace_substring_regex(values, pattern=_FORMULA, replacement=r"'\1", max_replacements=1)


def _quoted(values: Any) -> Any:
    return pc.binary_join_element_wise('"', pc.replace_substring(values, '"', '""'), '"', "")
