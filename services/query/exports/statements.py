"""Sources of a file: one statement, so all of it is of one state, in the order of the table, so that it flows.

Oldest first: FINAL can read forwards as it goes, and holds no more than a few blocks at any length. Pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from schemas.control import App
from schemas.events import FIELDS
from schemas.facts import PATH_COLUMNS, Model
from schemas.persons import ID_SQL, IS_USER_SQL
from services.query.conversions.statements import NET_VALUE, ConversionFilter, conditions_of
from services.query.core.parameters import InRange, range_of
from services.query.core.sql import Condition, Statement, Table, but_bots, equals, one_of, source, statement, within
from services.query.core.times import TimeRange
from services.query.events.statements import property_condition
from services.query.exports.columns import Column, Kind, money_by_currency, renaming, select_list
from services.query.exports.parameters import (
    AnyExport,
    AttributionExport,
    ConversionsExport,
    EventsExport,
    FileFormat,
    RangeFilters,
    SessionsExport,
    TouchesExport,
    UsersExport,
)
from services.query.identity.sessions import FoundSession
from services.query.users import statements as users
from services.web.errors import ApiError, Text

_TEXT, _WHOLE, _TIME, _MONEY, _CREDIT = Kind.TEXT, Kind.WHOLE, Kind.TIME, Kind.MONEY, Kind.CREDIT


def _texts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, _TEXT, f"toString({name})") for name in names)


class FileRow(msgspec.Struct):
    """A row of a file, undecoded: the rows go on as they come."""


class CountRow(msgspec.Struct):
    row_count: int


@dataclass(frozen=True)
class ExportSource:
    columns: tuple[Column, ...]
    rows: Statement[FileRow]
    count: Statement[CountRow]


EVENT_COLUMNS: Final = (
    *_texts("event_id", "event_name"),
    Column("timestamp", _TIME, "timestamp_ms"),
    Column("original_timestamp", _TIME, "original_timestamp_ms"),
    Column("received_at", _TIME, "intDiv(received_us, 1000)"),
    *_texts("user_id", "anonymous_id"),
    Column("properties", Kind.JSON, "properties"),
    *(_texts(one.name)[0] if one.type is str else Column(one.name, Kind.FLAG, one.name) for one in FIELDS),
)
SESSION_COLUMNS: Final = (
    *_texts("session_id", "person_key", "user_id", "anonymous_id"),
    Column("start", _TIME, "start_ms"),
    Column("end", _TIME, "end_ms"),
    Column("events", _WHOLE, "events"),
    Column("page_views", _WHOLE, "page_views"),
    *_texts("entry_page", "exit_page", "channel", "source", "medium", "campaign"),
    Column("conversions", _WHOLE, "conversions"),
    Column("is_bounce", Kind.FLAG, "is_bounce"),
    Column("is_closed", Kind.FLAG, "is_closed"),
    Column("is_bot", Kind.FLAG, "is_bot"),
)
TOUCH_COLUMNS: Final = (
    *_texts("touch_id", "person_key", "session_id"),
    Column("touched_at", _TIME, "touched_at_ms"),
    *_texts("touch_type", "channel", "source", "medium", "campaign"),
    Column("is_bot", Kind.FLAG, "is_bot"),
)
CONVERSION_COLUMNS: Final = (
    *_texts("conversion_id", "goal", "goal_type"),
    Column("goal_version", _WHOLE, "goal_version"),
    *_texts("event_id"),
    Column("converted_at", _TIME, "converted_at_ms"),
    *_texts("user_id", "anonymous_id", "session_id", "order_id", "currency"),
    Column("value", _MONEY, f"if(value_issue = '', {NET_VALUE}, NULL)"),
    Column("refunded", _MONEY, "refunded_minor"),
    Column("path_channels", Kind.TEXTS, "path_channels"),
    *_texts("value_issue"),
    Column("is_bot", Kind.FLAG, "is_bot"),
)


def _share(model: Model) -> str:
    return f"if(value_issue = '', toInt128(value_minor) * credit_{model.value}, NULL)"


def _attribution_columns(models: Sequence[Model]) -> tuple[Column, ...]:
    return (
        *_texts("conversion_id", "goal"),
        Column("converted_at", _TIME, "converted_at_ms"),
        *_texts("currency", "touch_id"),
        Column("touched_at", _TIME, "touched_at_ms"),
        *_texts("touch_type", "channel", "source", "medium", "campaign"),
        *(Column(f"credit_{model.value}", _CREDIT, f"credit_{model.value}") for model in models),
        *(Column(f"value_{model.value}", Kind.SHARE, _share(model)) for model in models),
        Column("revision", _WHOLE, "toInt64(revision)"),
        *_texts("reason"),
        Column("config_version", _WHOLE, "config_version"),
        *_texts("value_issue"),
        Column("is_bot", Kind.FLAG, "is_bot"),
    )


USER_COLUMNS: Final = (
    Column("id", _TEXT, ID_SQL),
    Column("is_known", Kind.FLAG, IS_USER_SQL),
    Column("linked_ids", Kind.TEXTS, "linked_ids"),
    Column("first_seen", _TIME, "first_seen_ms"),
    Column("last_seen", _TIME, "last_seen_ms"),
    Column("sessions", _WHOLE, "toInt64(session_count)"),
    Column("events", _WHOLE, "event_count"),
    Column("page_views", _WHOLE, "page_view_count"),
    Column("conversions", _WHOLE, "conversion_count"),
    *_texts("first_channel", "last_channel"),
    Column("values", Kind.JSON, money_by_currency("minor - taken_back[toString(currency)]")),
    Column("is_bot", Kind.FLAG, "has_only_bots"),
)


def source_of(app: App, export: AnyExport, session: FoundSession | None = None) -> ExportSource:
    """Return the source. `session`: that of the filter `session_id`. Raises `ApiError` for a range that is none.
    Not for the performance report, which is computed, not read.
    """
    time_range = range_of_filters(export.filters, app)
    if isinstance(export, EventsExport):
        made = _events(export, time_range, session)
    elif isinstance(export, ConversionsExport):
        made = _conversions(export, time_range, app.currency)
    else:
        made = _MAKERS[type(export)](export, time_range)
    for_arrow = export.format is not FileFormat.JSONL
    inner = f"SELECT {select_list(made.columns, for_arrow)} FROM {made.rows}{made.order}"
    sql = f"SELECT {renaming(made.columns)} FROM ({inner})"
    return ExportSource(
        made.columns,
        statement(FileRow, app.app_id, sql, made.conditions),
        statement(CountRow, app.app_id, f"SELECT count() AS row_count FROM {made.counted}", made.conditions),
    )


def range_of_filters(filters: RangeFilters, app: App) -> TimeRange:
    """Return the range of the filters. Raises `ApiError` naming the filter at fault."""
    given = InRange.model_validate({"from": filters.from_, "to": filters.to, "tz": filters.tz})
    try:
        return range_of(given, app)
    except ApiError as error:
        raise error.under("filters") from None


@dataclass(frozen=True)
class _Made:
    columns: tuple[Column, ...]
    conditions: list[Condition]
    rows: str
    counted: str
    order: str


def _events(export: EventsExport, time_range: TimeRange, session: FoundSession | None) -> _Made:
    wanted = export.filters
    in_session = [] if wanted.session_id is None else [_NONE] if session is None else session.conditions()
    conditions = [
        *in_session,
        *one_of("event_name", tuple(wanted.event_name)),
        *equals("user_id", wanted.user_id),
        *equals("anonymous_id", wanted.anonymous_id),
        *within("timestamp_ms", time_range),
        *(property_condition(index, *pair) for index, pair in enumerate(wanted.properties.items())),
    ]
    rows = source(Table.EVENTS, conditions)
    return _Made(EVENT_COLUMNS, conditions, rows, rows, " ORDER BY timestamp_ms, event_id")


_NONE: Final = Condition("false")


def _sessions(export: Any, time_range: TimeRange) -> _Made:
    conditions = [*within("start_ms", time_range), *but_bots(export.filters.include_bots)]
    rows = source(Table.SESSIONS, conditions)
    return _Made(SESSION_COLUMNS, conditions, rows, rows, " ORDER BY start_ms, session_id")


def _touches(export: Any, time_range: TimeRange) -> _Made:
    conditions = [*within("touched_at_ms", time_range), *but_bots(export.filters.include_bots)]
    rows = source(Table.TOUCHES, conditions)
    return _Made(TOUCH_COLUMNS, conditions, rows, rows, " ORDER BY touched_at_ms, touch_id")


def _conversions(export: ConversionsExport, time_range: TimeRange, app_currency: str) -> _Made:
    given = export.filters
    currency = given.currency or (app_currency if given.min_value is not None else None)
    wanted = ConversionFilter(
        tuple(given.goal), given.user_id, time_range, currency, given.min_value, given.include_bots
    )
    conditions = conditions_of(wanted)
    rows = source(Table.CONVERSIONS, conditions)
    return _Made(CONVERSION_COLUMNS, conditions, rows, rows, " ORDER BY converted_at_ms, conversion_id")


def _attribution(export: Any, time_range: TimeRange) -> _Made:
    given = export.filters
    models = tuple(model for model in Model if model in (given.model or Model))
    conditions = [
        *one_of("goal", tuple(given.goal)),
        *equals("currency", given.currency),
        *equals("conversion_id", given.conversion_id),
        *within("converted_at_ms", time_range),
        *but_bots(given.include_bots),
    ]
    arrays = [f"{array} AS all_{name}" for name, array in PATH_COLUMNS.items()]
    joined = [f"all_{name} AS {name}" for name in PATH_COLUMNS]
    for model in models:
        arrays.append(f"arrayResize(credits_nanos['{model.value}'], length(touch_ids)) AS credits_{model.value}")
        joined.append(f"credits_{model.value} AS credit_{model.value}")
    kept = "conversion_id, goal, converted_at_ms, value_minor, currency, value_issue, is_bot"
    kept += ", revision, reason, config_version"
    rows = source(Table.ATTRIBUTIONS, conditions)
    unfolded = f"""(
    SELECT {kept}, {", ".join(arrays)} FROM {rows} ORDER BY converted_at_ms, conversion_id
) ARRAY JOIN {", ".join(joined)}"""
    counted = f"(SELECT touch_ids FROM {rows}) ARRAY JOIN touch_ids AS touch_id"
    return _Made(_attribution_columns(models), conditions, unfolded, counted, "")


def _users(export: Any, time_range: TimeRange) -> _Made:
    """Select users by id, the order of the table: everybody's sessions stand together, so they are added up as they
    come.
    """
    conditions = within("first_seen_ms", time_range)
    having = f" HAVING {' AND '.join(condition.sql for condition in conditions)}" if conditions else ""
    sessions = source(Table.SESSIONS_BY_PERSON, but_bots(export.filters.include_bots))
    found = f"{users.SELECT} FROM {sessions} GROUP BY person_key{having} ORDER BY person_key"
    refunds = users.refunds_sql(but_bots(export.filters.include_bots))
    rows = f"({found}) AS found LEFT JOIN ({refunds}) AS refunds ON found.person_key = refunds.person_key"
    counted = f"(SELECT min(start_ms) AS first_seen_ms FROM {sessions} GROUP BY person_key{having})"
    return _Made(USER_COLUMNS, conditions, rows, counted, "")


_MAKERS: Final[dict[type[Any], Callable[[Any, TimeRange], _Made]]] = {
    SessionsExport: _sessions,
    TouchesExport: _touches,
    AttributionExport: _attribution,
    UsersExport: _users,
}

EXPORT_SETTINGS: Final = (
    " SETTINGS max_execution_time = {seconds}, max_memory_usage = {memory_bytes}, max_threads = 1,"
    " optimize_aggregation_in_order = 1"
)
"""ClickHouse settings of exports. One thread: it is slower than the encoder of its rows anyway, and keeps their
order.
"""


def too_many_rows(limit: int, actual: int) -> Text:
    return Text(
        f"共 {actual} 行，超过套餐的 {limit} 行上限，请缩小时间范围",
        f"it has {actual} rows, and the plan's limit is {limit}; ask for a shorter range",
    )
