"""The performance report as rows of a file: computed like the answer over HTTP, so the numbers are the same."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from schemas.control import App
from schemas.facts import Model
from services.query.aggregates.report_parts import ReportRow, refuse_long
from services.query.core.answer_text import batches
from services.query.core.reader import AnswerReader
from services.query.exports.columns import Column, Kind
from services.query.exports.parameters import FileFormat, PerformanceExport, PerformanceFilters
from services.query.reports.performance.parameters import PerformanceParameters, performance_query
from services.query.reports.performance.statements import PerformanceQuery, performance_rows
from services.query.reports.performance.view import COMPARED, performance_report
from services.web.errors import ApiError

_COUNTS: Final = ("touches", "clicks", "impressions", "sessions", "users", "conversions")
_AMOUNTS: Final = ("value", "refunded", "conversion_rate", "spend")
_CREDITED: Final = ("credited_conversions", "credited_value")
_encode = msgspec.json.Encoder(decimal_format="number").encode_lines

Cell = str | int | bool | Decimal | None
Row = dict[str, Cell]


async def performance_pieces(
    reader: AnswerReader, app: App, export: PerformanceExport
) -> tuple[list[Column], list[bytes]]:
    """Return the columns, and the rows as JSON lines (a report has a bounded number of rows)."""
    wanted = performance_query_of(export.filters, app)
    rows = await reader.rows(performance_rows(app.app_id, wanted))
    return await asyncio.to_thread(_pieces, export, wanted, rows)


def _pieces(
    export: PerformanceExport, wanted: PerformanceQuery, rows: list[ReportRow]
) -> tuple[list[Column], list[bytes]]:
    meta: Any = {}
    report = performance_report(wanted, rows, meta)
    refuse_long(report["items"], "filters")
    lines = _lines(report, wanted)
    if export.format is not FileFormat.JSONL:
        lines = [_as_text(line) for line in lines]
    if export.spreadsheet:
        lines = [line | {"period": _clock(line["period"])} for line in lines]
    return _columns(wanted), [_encode(batch) for batch in batches(lines)]


def performance_query_of(filters: PerformanceFilters, app: App) -> PerformanceQuery:
    """Return the query of the filters. Raises `ApiError` naming the filter at fault."""
    given = PerformanceParameters.model_validate(
        filters.model_dump(by_alias=True) | {"model": [model.value for model in filters.model]}
    )
    try:
        return performance_query(given, app)
    except ApiError as error:
        raise error.under("filters") from None


def _as_text(row: Row) -> Row:
    """Write amounts as text for Arrow, which reads them from their digits."""
    return {name: f"{cell:f}" if isinstance(cell, Decimal) else cell for name, cell in row.items()}


def _clock(period: Cell) -> Cell:
    """Write a period as the clock of the zone shows its beginning: `2024-01-15T00:00:00+08:00` without the offset."""
    return period[:19].replace("T", " ") if isinstance(period, str) else period


def _columns(wanted: PerformanceQuery) -> list[Column]:
    """Return the columns. They are computed here, so there is no SQL."""
    columns = [Column("period", Kind.TEXT, ""), Column("key", Kind.TEXT, ""), Column("currency", Kind.TEXT, "")]
    columns += [Column(name, Kind.WHOLE, "") for name in _COUNTS]
    columns += [Column(name, Kind.NUMBER, "") for name in _AMOUNTS]
    for model in wanted.models:
        for name in (*_CREDITED, "cpa", "roas"):
            columns.append(Column(f"{name}_{model.value}", Kind.NUMBER, ""))
    if wanted.has_previous:
        columns.append(Column("is_previous", Kind.FLAG, ""))
        columns += [Column(name, Kind.NUMBER, "") for name in _changes(None, wanted.models)]
    return columns


def _lines(report: Any, wanted: PerformanceQuery) -> list[Row]:
    """Return the rows of the period; with a comparison, the rows of the period before after them."""
    lines = [_row(item, wanted) for item in report["items"]]
    if not wanted.has_previous:
        return lines
    for line, item in zip(lines, report["items"], strict=True):
        line |= {"is_previous": False, **_changes(item["change"], wanted.models)}
    nothing = _changes(None, wanted.models)
    before = report["previous"]["items"]
    return lines + [_row(item, wanted) | {"is_previous": True, **nothing} for item in before]


def _row(item: Any, wanted: PerformanceQuery) -> Row:
    row: Row = {"period": item["period"], "key": item["key"], "currency": wanted.currency}
    row |= {name: item[name] for name in (*_COUNTS, *_AMOUNTS)}
    for model in wanted.models:
        row |= {f"{name}_{model.value}": value for name, value in item["models"][model.value].items()}
    return row


def _changes(change: Mapping[str, Any] | None, models: Sequence[Model]) -> Row:
    """Changes by column; None: there is nothing to compare with."""
    row: Row = {f"{name}_change": None if change is None else change[name] for name in COMPARED}
    for model in models:
        credit = None if change is None else change["models"][model.value]
        row |= {f"{name}_{model.value}_change": None if credit is None else credit[name] for name in _CREDITED}
    return row
