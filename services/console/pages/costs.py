"""Costs of advertising: upload of a CSV file, its mistakes row by row, what is there and which days are missing."""

import asyncio
import io
from datetime import timedelta
from typing import Any, Final

from aiokafka.errors import KafkaError
from fastapi import APIRouter
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from pipeline.control.audit import write_entry
from pipeline.domain.cost_rows import (
    OPTIONAL,
    REQUIRED,
    Problem,
    cost_partition,
    cost_records,
    read_costs,
    unknown_channels,
    with_markers,
)
from pipeline.runtime.clock import now_ms
from pipeline.runtime.topic_writes import send_records
from schemas.facts import CostRow
from schemas.money import from_minor
from schemas.topics import Topic
from services.console.cost_overview import by_source
from services.console.i18n.catalogue import text
from services.console.page import Page, go
from services.console.report_page import key_name, today_of
from services.console.visitor import Form, OfApp, field
from services.console.walk import walk

router = APIRouter()
COSTS: Final = "/v1/costs"
DAYS: Final = 28
_STEP: Final = 1_000
_MOST: Final = 5_000
_SHOWN: Final = 50
_PROBLEMS_SHOWN: Final = 100
_SEND_SECONDS: Final = 20.0
_EXAMPLE: Final = """\
date,channel,campaign,source,cost,currency
2026-01-15,paid_search,brand,baidu,1234.50,%s"""
_NO_FILE: Final = text("Choose a CSV file first.")
_NOT_UTF8: Final = text("The file is not UTF-8. Save it as CSV UTF-8 and choose it again.")
_EMPTY: Final = text("The file has no rows.")
_AWAY: Final = text("The broker does not answer. Send the file again in a moment: the same file twice counts once.")


@router.get("/apps/{app_id}/costs")
async def show_costs(page: OfApp) -> Response:
    return await _costs_page(page)


@router.post("/apps/{app_id}/costs")
async def upload_costs(page: OfApp, fields: Form) -> Response:
    """Take a file: check it (`do=check`), or import all of it, or nothing if a row is wrong."""
    assert page.app is not None
    try:
        lines = await _lines(fields)
    except ValueError as error:
        return await _costs_page(page, 400, problem=page.text(str(error)))
    rows, problems = await asyncio.to_thread(read_costs, io.StringIO(lines, newline=""), page.app, now_ms())
    if problems or not rows:
        return await _costs_page(page, 400, problems=problems, problem="" if problems else page.text(_EMPTY))
    if field(fields, "do") == "check":
        return await _costs_page(page, checked=_summary(page, rows))
    try:
        async with asyncio.timeout(_SEND_SECONDS):
            partition = cost_partition(page.app_id, page.console.settings.partitions)
            records = cost_records(with_markers(rows))
            await send_records(page.console.settings, Topic.COSTS, partition, records)
    except (KafkaError, OSError, TimeoutError):
        return await _costs_page(page, 503, problem=page.text(_AWAY))
    entry = page.entry("costs.import", _file_name(fields), after=_logged(rows))
    await asyncio.to_thread(write_entry, page.console.dsn, entry)
    return go(page.url(f"costs?imported={len(rows)}"))


async def _lines(fields: FormData) -> str:
    """Return the file's text. Raises `ValueError` with what is wrong."""
    given = fields.get("file")
    if not isinstance(given, UploadFile) or not given.filename:
        raise ValueError(_NO_FILE)
    try:
        return (await given.read()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(_NOT_UTF8) from None


def _file_name(fields: FormData) -> str:
    given = fields.get("file")
    return (given.filename or "")[:200] if isinstance(given, UploadFile) else ""


def _logged(rows: list[CostRow]) -> dict[str, Any]:
    days = [row.date for row in rows]
    sources = sorted({row.source for row in rows})
    return {"rows": len(rows), "from": min(days).isoformat(), "to": max(days).isoformat(), "sources": sources[:50]}


def _summary(page: Page, rows: list[CostRow]) -> dict[str, Any]:
    """Return what an import of the rows would write."""
    assert page.app is not None
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.currency] = sums.get(row.currency, 0) + row.cost_minor
    money = [page.formats.money(from_minor(minor, currency), currency) for currency, minor in sorted(sums.items())]
    return _logged(rows) | {"money": money, "unknown": unknown_channels(rows, page.app)}


async def _costs_page(
    page: Page, status: int = 200, problem: str = "", problems: list[Problem] | None = None, checked: Any = None
) -> Response:
    wrong = problems or []
    shown = [(one.line, page.text(one.reason, **one.values)) for one in wrong[:_PROBLEMS_SHOWN]]
    imported = page.request.query_params.get("imported", "")
    values = {
        "problem": problem,
        "wrong": len(wrong),
        "problems": shown,
        "checked": checked,
        "imported": int(imported) if imported.isdecimal() and len(imported) < 10 else None,
        "days": DAYS,
        "example": _EXAMPLE % (page.app.currency if page.app else ""),
        "required": REQUIRED,
        "optional": OPTIONAL,
        "channel_of": lambda name: key_name(page, "channel", name),
    }
    return page.render("costs.html", status, **values, **await _stored(page))


async def _stored(page: Page) -> dict[str, Any]:
    """Read the costs of the last days; `sources` is None where they cannot be read now."""
    today = today_of(page)
    asked = {"from": (today - timedelta(days=DAYS)).isoformat(), "limit": _STEP}
    found = await walk(page, COSTS, asked, _MOST)
    if found is None:
        return {"sources": None, "newest": [], "is_whole": True}
    sources = by_source(found.items, today - timedelta(days=1))
    return {"sources": sources, "newest": found.items[:_SHOWN], "is_whole": found.is_whole}
