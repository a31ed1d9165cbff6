"""List of refused events: by the gateway, and, rarely, by the stream or the loader. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from schemas.facts import is_cut
from services.query.answers import Meta, RejectedEvent, RejectedList
from services.query.cursors import Position
from services.query.pages import Page, cut
from services.query.sql import (
    Condition,
    Statement,
    Table,
    columns,
    newest_first,
    older_than,
    one_of,
    source,
    statement,
    within,
)
from services.query.times import TimeRange, time_in_zone

ALL_TIME: Final = TimeRange()
LIST_NAME: Final = "rejected"
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page ends with the payload that fills this, however many items were asked for."""


class _Kept(msgspec.Struct):
    reject_id: str
    rejected_at_ms: int
    stage: str
    code: str
    field: str
    reason: str
    payload: str
    key_id: str


class RejectedEventRow(_Kept):
    fits: int
    """0: it is for the next page, so its payload was not read."""


@dataclass(frozen=True)
class RejectedFilter:
    codes: tuple[str, ...] = ()
    about: str | None = None
    """Path of a field in the event."""
    time_range: TimeRange = ALL_TIME


def list_rejected(app_id: str, wanted: RejectedFilter, page: Page) -> Statement[RejectedEventRow]:
    conditions = [
        *one_of("code", wanted.codes),
        *_about(wanted.about),
        *within("rejected_at_ms", wanted.time_range),
        *older_than("rejected_at_ms", "reject_id", page.after),
    ]
    newest = newest_first("rejected_at_ms", "reject_id")
    sql = f"""SELECT * REPLACE (if(fits, payload, '') AS payload)
FROM (
    SELECT *, sum(length(payload)) OVER (ORDER BY rejected_at_ms DESC, reject_id DESC) - length(payload)
        < {MAX_PAGE_BYTES} AS fits
    FROM (SELECT {columns(_Kept)} FROM {source(Table.REJECTED, conditions)}{newest})
)
ORDER BY rejected_at_ms DESC, reject_id DESC"""
    return statement(RejectedEventRow, app_id, sql, conditions, row_limit=page.row_limit)


def _about(path: str | None) -> list[Condition]:
    """Return the condition on the field by its path in the event, wherever in its batch that stood: `user_id` is
    `events[3].user_id` too.
    """
    if path is None:
        return []
    return [Condition(r"replaceRegexpOne(field, '^events\\[[0-9]+\\]\\.?', '') = {about:String}", {"about": path})]


def rejected_page(rows: list[RejectedEventRow], page: Page, meta: Meta) -> RejectedList:
    page = replace(page, limit=min(page.limit, sum(row.fits for row in rows)))
    kept, next_cursor = cut(LIST_NAME, rows, page, lambda row: Position(row.rejected_at_ms, row.reject_id))
    return {"items": _items(kept, meta["timezone"]), "next_cursor": next_cursor, "meta": meta}


def _items(rows: Iterable[RejectedEventRow], zone: str) -> list[RejectedEvent]:
    return [
        {
            "reject_id": row.reject_id,
            "rejected_at": time_in_zone(row.rejected_at_ms, zone),
            "stage": row.stage,
            "code": row.code,
            "field": row.field or None,
            "reason": row.reason,
            "payload": row.payload,
            "is_cut": is_cut(row.payload),
            "key_id": row.key_id or None,
        }
        for row in rows
    ]
