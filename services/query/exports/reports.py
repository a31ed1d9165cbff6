"""The performance report as rows of a file: computed like the answer over HTTP, so the numbers are the same."""

from decimal import Decimal
from typing import Any, Final

import msgspec

from schemas.control import App
from schemas.facts import Model
from services.query import arguments, performance
from services.query.exports.columns import Column, Kind
from services.query.exports.requests import FileFormat, PerformanceExport
from services.query.parameters import PerformanceParameters
from services.query.reader import Reader
from services.query.report_rows import refuse_long

_COUNTS: Final = ("touches", "clicks", "impressions", "sessions", "users", "conversions")
_AMOUNTS: Final = ("value", "refunded", "conversion_rate", "spend")
_encode = msgspec.json.Encoder(decimal_format="number").encode_lines
_encode_as_text = msgspec.json.Encoder(decimal_format="string").encode_lines


async def performance_pieces(reader: Reader, app: App, export: PerformanceExport) -> tuple[list[Column], list[bytes]]:
    """Return the columns, and the rows as JSON lines in one piece (a report has a bounded number of rows)."""
    filters = export.filters
    given = PerformanceParameters.model_validate(
        filters.model_dump(by_alias=True) | {"model": [model.value for model in filters.model]}
    )
    wanted = arguments.performance_query(given, app)
    rows = await reader.rows(performance.performance_rows(app.app_id, wanted))
    meta: Any = {}
    report = performance.performance_report(wanted, rows, meta)
    refuse_long(report["items"], "filters")
    lines = [_row(item, wanted.currency, wanted.models) for item in report["items"]]
    encode = _encode if export.format is FileFormat.JSONL else _encode_as_text
    return _columns(wanted.models), [encode(lines)] if lines else []


def _columns(models: tuple[Model, ...]) -> list[Column]:
    """Return the columns. They are computed here, so there is no SQL."""
    columns = [Column("period", Kind.TEXT, ""), Column("key", Kind.TEXT, ""), Column("currency", Kind.TEXT, "")]
    columns += [Column(name, Kind.WHOLE, "") for name in _COUNTS]
    columns += [Column(name, Kind.NUMBER, "") for name in _AMOUNTS]
    for model in models:
        for name in ("credited_conversions", "credited_value", "cpa", "roas"):
            columns.append(Column(f"{name}_{model.value}", Kind.NUMBER, ""))
    return columns


def _row(item: Any, currency: str, models: tuple[Model, ...]) -> dict[str, str | int | Decimal | None]:
    row = {"period": item["period"], "key": item["key"], "currency": currency}
    row |= {name: item[name] for name in (*_COUNTS, *_AMOUNTS)}
    for model in models:
        row |= {f"{name}_{model.value}": value for name, value in item["models"][model.value].items()}
    return row
