"""SQL over one app's rows. Pure: text and bound parameters out, nothing run.

Whatever a caller sent goes into `parameters` and is bound by the server; the text is put together from constants
alone. `source` is the only way to read a table: it brings FINAL (each fact once, in its newest revision) and the
app's condition, and a `Statement` without them cannot be made.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import msgspec

from services.query.cursors import Position
from services.query.times import TimeRange

RowT = TypeVar("RowT", bound=msgspec.Struct)

MAX_EXECUTION_SECONDS: Final = 20
MAX_RESULT_ROWS: Final = 50_000
_LIMITS: Final = f" SETTINGS max_execution_time = {MAX_EXECUTION_SECONDS}, max_result_rows = {MAX_RESULT_ROWS}"


class Table(StrEnum):
    """The tables that hold rows of apps."""

    EVENTS = "events"
    SESSIONS = "sessions"
    TOUCHES = "touches"
    CONVERSIONS = "conversions"
    ATTRIBUTIONS = "attributions"
    EVENT_MARKS = "event_marks"
    REJECTED = "rejected"


_OF_THE_APP: Final = " FINAL WHERE app_id = {app_id:String}"
_TABLE_READ: Final = re.compile(rf"\b(?:FROM|JOIN)\s+(?:{'|'.join(Table)})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Condition:
    """A piece of WHERE or HAVING with the parameters it names."""

    sql: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Statement(Generic[RowT]):
    """A query of one app's rows, each of which decodes to `row_type`."""

    row_type: type[RowT]
    sql: str
    parameters: Mapping[str, Any]

    def __post_init__(self) -> None:
        reads = [match.end() for match in _TABLE_READ.finditer(self.sql)]
        if not reads or not all(self.sql.startswith(_OF_THE_APP, end) for end in reads):
            raise AssertionError(f"a table is read without its app: {self.sql}")


def source(table: Table, conditions: Iterable[Condition] = ()) -> str:
    """What follows FROM: the app's own rows of `table`, narrowed by `conditions`."""
    return " AND ".join([table.value + _OF_THE_APP, *(condition.sql for condition in conditions)])


def statement(
    row_type: type[RowT], app_id: str, sql: str, conditions: Iterable[Condition] = (), **parameters: Any
) -> Statement[RowT]:
    """`sql` with its parameters: the app's id, those of `conditions`, and `parameters`."""
    bound: dict[str, Any] = {"app_id": app_id}
    for more in (*(condition.parameters for condition in conditions), parameters):
        if bound.keys() & more.keys():
            raise AssertionError(f"a parameter is bound twice: {sorted(bound.keys() & more.keys())}")
        bound |= more
    return Statement(row_type, sql + _LIMITS, bound)


def columns(row_type: type[msgspec.Struct]) -> str:
    """The select list of a row type whose fields are columns."""
    return ", ".join(row_type.__struct_fields__)


def equals(column: str, value: str | None) -> list[Condition]:
    """No condition for None."""
    return [] if value is None else [Condition(f"{column} = {{{column}:String}}", {column: value})]


def one_of(column: str, values: tuple[str, ...]) -> list[Condition]:
    """No condition for no values."""
    return [Condition(f"{column} IN {{{column}_in:Array(String)}}", {f"{column}_in": list(values)})] if values else []


def within(column: str, time_range: TimeRange) -> list[Condition]:
    """`column` in milliseconds; the parameters are named `from_ms` and `to_ms`."""
    found = []
    if time_range.from_ms is not None:
        found.append(Condition(f"{column} >= {{from_ms:Int64}}", {"from_ms": time_range.from_ms}))
    if time_range.to_ms is not None:
        found.append(Condition(f"{column} < {{to_ms:Int64}}", {"to_ms": time_range.to_ms}))
    return found


def older_than(time_column: str, id_column: str, position: Position | None) -> list[Condition]:
    """Rows after `position` in the order newest first. The first half alone narrows what the primary key must read."""
    if position is None:
        return []
    return [
        Condition(
            f"{time_column} <= {{after_ms:Int64}} AND "
            f"({time_column} < {{after_ms:Int64}} OR {id_column} < {{after_id:String}})",
            {"after_ms": position.time_ms, "after_id": position.id},
        )
    ]


def newest_first(time_column: str, id_column: str) -> str:
    return f" ORDER BY {time_column} DESC, {id_column} DESC LIMIT {{row_limit:UInt32}}"
