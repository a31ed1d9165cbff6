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


@dataclass(frozen=True)
class RejectedFilter:
    codes: tuple[str, ...] = ()
    about: str | None = None
    """Path of a field in the event."""
    time_range: TimeRange = ALL_TIME


def list_rejected(app_id: str, wanted: RejectedFilter, page: Page) -> Statement[RejectedRow]:
    conditions = [
        *one_of("code", wanted.codes),
        *_about(wanted.about),
        *within("rejected_at_ms", wanted.time_range),
        *older_than(ORDER, page.after),
    ]
    sql = f"SELECT {columns(RejectedRow)} FROM {source(Table.REJECTED, conditions)}" + newest_first(ORDER)
    return statement(RejectedRow, app_id, sql, conditions, row_limit=page.row_limit)


def _about(path: str | None) -> list[Condition]:
    """Return the condition on the field by its path in the event, wherever in its batch that stood: `user_id` is
    `events[3].user_id` too.
    """
    if path is None:
        return []
    return [Condition(r"replaceRegexpOne(field, '^events\\[[0-9]+\\]\\.?', '') = {about:String}", {"about": path})]
