"""Statement of the list of refused events: by the gateway, and, rarely, by the stream or the loader. Pure."""

from dataclasses import dataclass
from typing import Final

from schemas.facts import RejectedRow
from services.query.core.lists import Page
from services.query.core.sql import (
    Condition,
    SortKey,
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
from services.query.core.times import ALL_TIME, TimeRange

ORDER: Final = SortKey("rejected_at_ms", "reject_id")

MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page ends with the payload that fills this, however many items were asked for."""


class RejectedEventRow(RejectedRow, gc=False):
    fits: int = 1
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
        *older_than(ORDER, page.after),
    ]
    newest = newest_first(ORDER)
    sql = f"""SELECT * REPLACE (if(fits, payload, '') AS payload)
FROM (
    SELECT *, sum(length(payload)) OVER (ORDER BY rejected_at_ms DESC, reject_id DESC) - length(payload)
        < {MAX_PAGE_BYTES} AS fits
    FROM (SELECT {columns(RejectedRow)} FROM {source(Table.REJECTED, conditions)}{newest})
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
