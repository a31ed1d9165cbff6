"""SQL over one app's rows. Pure: text and bound parameters out, nothing run.

Everything a caller sent goes into `parameters` and is bound by the server; the text is put together from constants
alone. `source` is the only way to read facts: it brings FINAL (each fact once, in its newest revision) and the app's
condition, and a `Statement` without them cannot be made. `raw_source` reads rows as they were written, older revisions
and deleted ones among them: it can tell where to look, never what to answer.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from services.query.core.cursors import Position
from services.query.core.times import TimeRange

RowT = TypeVar("RowT", bound=msgspec.Struct)
MAX_RESULT_ROWS: Final = 50_000
FEW_KEYS: Final = 512
OF_FEW_ROWS: Final = (
    ", optimize_read_in_order = 0, merge_tree_min_rows_for_concurrent_read = 16384,"
    " merge_tree_min_bytes_for_concurrent_read = 1048576"
)
"""Settings of a statement that reads few scattered rows: sorted afterwards, and all threads have a share of it."""


@dataclass(frozen=True)
class QueryLimits:
    """Limits of one query. Past them the query ends with an error that says so; 0: no limit."""

    seconds: float = 20.0
    rows_to_read: int = 0
    memory_bytes: int = 0
    user_memory_bytes: int = 0
    """Of all queries of the ClickHouse user together."""

    def clause(self) -> str:
        of_user = f", max_memory_usage_for_user = {self.user_memory_bytes}" if self.user_memory_bytes else ""
        return (
            f" SETTINGS max_execution_time = {self.seconds:g}, max_rows_to_read = {self.rows_to_read},"
            f" max_memory_usage = {self.memory_bytes}, max_result_rows = {MAX_RESULT_ROWS}{of_user}"
        )


class Table(StrEnum):
    """Tables that hold rows of apps."""

    EVENTS = "events"
    SESSIONS = "sessions"
    SESSIONS_BY_PERSON = "sessions_by_person"
    NARROW_SESSIONS = "narrow_sessions"
    TOUCHES = "touches"
    CONVERSIONS = "conversions"
    ATTRIBUTIONS = "attributions"
    NARROW_TOUCHES = "narrow_touches"
    ATTRIBUTION_REVISIONS = "attribution_revisions"
    EVENT_MARKS = "event_marks"
    PERSON_LINKS = "person_links"
    REJECTED = "rejected"
    COSTS = "spend"
    ALERTS = "alerts"
    WEBHOOK_ATTEMPTS = "webhook_attempts"
    GATEWAY_COUNTS = "gateway_counts"


_RAW_OF_THE_APP: Final = " WHERE app_id = {app_id:String}"
_OF_THE_APP: Final = " FINAL" + _RAW_OF_THE_APP
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
    settings: str = ""
    """Settings beside those of the limits: each begins with a comma."""
    reads_raw: bool = False
    """True if part of it reads rows as they were written, to find out where to look."""

    def __post_init__(self) -> None:
        reads = [match.end() for match in _TABLE_READ.finditer(self.sql)]
        wanted = (_RAW_OF_THE_APP, _OF_THE_APP) if self.reads_raw else (_OF_THE_APP,)
        if not reads or not all(self.sql.startswith(wanted, end) for end in reads):
            raise AssertionError(f"a table is read without its app: {self.sql}")


class Horizon(msgspec.Struct):
    """Result of a raw reading: how far back its newest rows reach."""

    found: int
    """Number of rows, at most as many as were asked for."""
    from_ms: int | None
    """Time of the last of them; None: there is none."""
    times_ms: list[int] = []
    ids: list[str] = []
    """Sort keys of the rows, as long as they are few (`FEW_KEYS`)."""


class Listing(Protocol[RowT]):
    """A list, newest first, that is read in two steps: where its page ends at the latest, then the page itself.

    FINAL cannot read backwards and stop: it would merge all of the table for the newest hundred rows. So the raw rows
    are read backwards first; as many facts as a page needs lie no further back than a few more raw rows do, unless
    many of those are stale (then the page is short, and the next try reaches further).
    """

    @property
    def row_limit(self) -> int: ...

    @property
    def first_reach(self) -> int:
        """Number of raw rows to look at first."""

    def horizon(self, reach: int) -> "Statement[Horizon]":
        """Return where the newest `reach` raw rows end that may be on the page."""

    def rows(self, horizon: Horizon) -> "Statement[RowT]":
        """Read the page, if it does not reach further back than `horizon`, which has a time."""


def source(table: Table, conditions: Iterable[Condition] = ()) -> str:
    """Return the text after FROM: the app's own rows of `table`, narrowed by `conditions`."""
    return " AND ".join([table.value + _OF_THE_APP, *(condition.sql for condition in conditions)])


def raw_source(table: Table, conditions: Iterable[Condition] = ()) -> str:
    """Return the source of `source`, with the rows as they were written."""
    return " AND ".join([table.value + _RAW_OF_THE_APP, *(condition.sql for condition in conditions)])


def statement(
    row_type: type[RowT], app_id: str, sql: str, conditions: Iterable[Condition] = (), **parameters: Any
) -> Statement[RowT]:
    """Build a statement of `sql` with its parameters: the app's id, those of `conditions`, and `parameters`."""
    return Statement(row_type, sql, _bound(app_id, conditions, parameters))


def peeking_statement(
    row_type: type[RowT], app_id: str, sql: str, conditions: Iterable[Condition] = (), **parameters: Any
) -> Statement[RowT]:
    """Build a statement like `statement`, for SQL that looks at raw rows too."""
    return Statement(row_type, sql, _bound(app_id, conditions, parameters), reads_raw=True)


def _bound(app_id: str, conditions: Iterable[Condition], parameters: Mapping[str, Any]) -> dict[str, Any]:
    bound: dict[str, Any] = {"app_id": app_id}
    for more in (*(condition.parameters for condition in conditions), parameters):
        if bound.keys() & more.keys():
            raise AssertionError(f"a parameter is bound twice: {sorted(bound.keys() & more.keys())}")
        bound |= more
    return bound


def columns(row_type: type[msgspec.Struct]) -> str:
    """Return the select list of a row type whose fields are columns."""
    return ", ".join(row_type.__struct_fields__)


def equals(column: str, value: str | None) -> list[Condition]:
    """Return the condition of equality; none for None."""
    return [] if value is None else [Condition(f"{column} = {{{column}:String}}", {column: value})]


def one_of(column: str, values: tuple[str, ...]) -> list[Condition]:
    """Return the condition of one of the values; none for no values."""
    return [Condition(f"{column} IN {{{column}_in:Array(String)}}", {f"{column}_in": list(values)})] if values else []


def but_bots(include_bots: bool) -> list[Condition]:
    """Return the condition that leaves bots out; none with `include_bots`."""
    return [] if include_bots else [Condition("NOT is_bot")]


def none_of(column: str, values: tuple[str, ...]) -> list[Condition]:
    """Return the condition that `column` is none of `values`; no condition for no values."""
    if not values:
        return []
    return [Condition(f"{column} NOT IN {{{column}_not_in:Array(String)}}", {f"{column}_not_in": list(values)})]


def within(column: str, time_range: TimeRange) -> list[Condition]:
    """Return the conditions of a range of `column` in milliseconds; the parameters are named `from_ms` and `to_ms`."""
    found = []
    if time_range.from_ms is not None:
        found.append(Condition(f"{column} >= {{from_ms:Int64}}", {"from_ms": time_range.from_ms}))
    if time_range.to_ms is not None:
        found.append(Condition(f"{column} < {{to_ms:Int64}}", {"to_ms": time_range.to_ms}))
    return found


class SortKey(NamedTuple):
    """Columns that a list is ordered by, newest first: a time in milliseconds, then an id."""

    time_column: str
    id_column: str

    def position(self, row: Any) -> Position:
        """Return the place of a row, which has both columns, in that order."""
        return Position(getattr(row, self.time_column), getattr(row, self.id_column))


def older_than(order: SortKey, position: Position | None) -> list[Condition]:
    """Return the condition for rows after `position`. The first half alone narrows what the primary key must read."""
    if position is None:
        return []
    time_column, id_column = order
    return [
        Condition(
            f"{time_column} <= {{after_ms:Int64}} AND "
            f"({time_column} < {{after_ms:Int64}} OR {id_column} < {{after_id:String}})",
            {"after_ms": position.time_ms, "after_id": position.id},
        )
    ]


def newest_first(order: SortKey) -> str:
    return f" ORDER BY {order.time_column} DESC, {order.id_column} DESC LIMIT {{row_limit:UInt32}}"


def newest_page(
    row_type: type[RowT], app_id: str, table: Table, order: SortKey, conditions: Iterable[Condition], row_limit: int
) -> Statement[RowT]:
    """Build the statement of the newest rows of a table whose columns are those of the row type."""
    conditions = tuple(conditions)
    sql = f"SELECT {columns(row_type)} FROM {source(table, conditions)}" + newest_first(order)
    return statement(row_type, app_id, sql, conditions, row_limit=row_limit)


@dataclass(frozen=True)
class Newest(Generic[RowT]):
    """The `Listing` of one table's rows whose sort key is the app, a time and an id."""

    row_type: type[RowT]
    app_id: str
    table: Table
    order: SortKey
    conditions: tuple[Condition, ...]
    row_limit: int
    hints: tuple[Condition, ...] | None = None
    """Cheaper conditions that hold wherever `conditions` do, and elsewhere too: enough for the horizon."""

    @property
    def first_reach(self) -> int:
        return 2 * self.row_limit

    def horizon(self, reach: int) -> Statement[Horizon]:
        conditions = self.conditions if self.hints is None else self.hints
        return horizon_of(self.app_id, self.table, self.order, conditions, reach)

    def rows(self, horizon: Horizon) -> Statement[RowT]:
        """Read the page. Few rows that meet the conditions may lie far apart: then they are read one by one."""
        conditions = [*self.conditions, *reaching_to(self.order.time_column, horizon)]
        if horizon.ids:
            conditions.append(self._among(horizon))
        found = newest_page(self.row_type, self.app_id, self.table, self.order, conditions, self.row_limit)
        return replace(found, settings=OF_FEW_ROWS)

    def _among(self, horizon: Horizon) -> Condition:
        keys = "arrayZip({horizon_times:Array(Int64)}, {horizon_ids:Array(String)})"
        return Condition(
            f"({', '.join(self.order)}) IN ({keys})",
            {"horizon_times": horizon.times_ms, "horizon_ids": horizon.ids},
        )


def horizon_of(
    app_id: str, table: Table, order: SortKey, conditions: Iterable[Condition], reach: int
) -> Statement[Horizon]:
    conditions = tuple(conditions)
    newest = newest_first(order)
    few = f"count() <= {FEW_KEYS}"
    sql = f"""SELECT count() AS found, minOrNull(time_ms) AS from_ms,
    if({few}, groupArray({FEW_KEYS})(time_ms), []) AS times_ms, if({few}, groupArray({FEW_KEYS})(id), []) AS ids
FROM (SELECT {order.time_column} AS time_ms, {order.id_column} AS id FROM {raw_source(table, conditions)}{newest})"""
    return peeking_statement(Horizon, app_id, sql, conditions, row_limit=reach)


def time_horizon_of(
    app_id: str, table: Table, time_column: str, conditions: Iterable[Condition], reach: int
) -> Statement[Horizon]:
    """Return the horizon for lists whose rows are not found by the keys of those raw rows."""
    conditions = tuple(conditions)
    sql = f"""SELECT count() AS found, minOrNull({time_column}) AS from_ms FROM
(
    SELECT {time_column} FROM {raw_source(table, conditions)} ORDER BY {time_column} DESC LIMIT {{row_limit:UInt32}}
)"""
    return peeking_statement(Horizon, app_id, sql, conditions, row_limit=reach)


def reaching_to(time_column: str, horizon: Horizon) -> list[Condition]:
    return [Condition(f"{time_column} >= {{horizon_ms:Int64}}", {"horizon_ms": horizon.from_ms})]
