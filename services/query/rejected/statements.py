"""Statement of the list of refused events: by the gateway, and, rarely, by the stream or the loader. Pure."""

from dataclasses import dataclass
from typing import Final

import msgspec

from schemas.facts import RejectedRow
from services.query.core.lists import Page
from services.query.core.sql import (
    Condition,
    SortKey,
    Statement,
    Table,
    columns,
    equals,
    newest_first,
    older_than,
    one_of,
    source,
    statement,
    within,
)
from services.query.core.times import ALL_TIME, TimeRange

MAX_GROUPS: Final = 100
_PATH: Final = r"replaceRegexpOne(field, '^events\\[[0-9]+\\]\\.?', '')"
_NAME: Final = "substringUTF8(JSONExtractString(payload, 'event_name'), 1, 64)"
ORDER: Final = SortKey("rejected_at_ms", "reject_id")


@dataclass(frozen=True)
class RejectedFilter:
    codes: tuple[str, ...] = ()
    about: str | None = None
    """Path of a field in the event."""
    time_range: TimeRange = ALL_TIME
    reason: str | None = None
    event_name: str | None = None
    """Name that the refused event gives itself; empty: none that can be read."""


class RejectedGroup(msgspec.Struct):
    """Refused events that are alike."""

    code: str
    about: str
    """Path of the field in the event; empty: the whole of it."""
    reason: str
    event_name: str
    stage: str
    events: int
    newest_ms: int


def list_rejected(app_id: str, wanted: RejectedFilter, page: Page) -> Statement[RejectedRow]:
    conditions = [
        *one_of("code", wanted.codes),
        *_about(wanted.about),
        *equals("reason", wanted.reason),
        *_named(wanted.event_name),
        *within("rejected_at_ms", wanted.time_range),
        *older_than(ORDER, page.after),
    ]
    sql = f"SELECT {columns(RejectedRow)} FROM {source(Table.REJECTED, conditions)}" + newest_first(ORDER)
    return statement(RejectedRow, app_id, sql, conditions, row_limit=page.row_limit)


def group_rejected(app_id: str, time_range: TimeRange) -> Statement[RejectedGroup]:
    """Count refused events by code, field, reason, name and stage; the largest `MAX_GROUPS` groups."""
    conditions = within("rejected_at_ms", time_range)
    sql = f"""SELECT code, {_PATH} AS about, reason, {_NAME} AS event_name, stage, count() AS events,
    max(rejected_at_ms) AS newest_ms
FROM {source(Table.REJECTED, conditions)}
GROUP BY code, about, reason, event_name, stage
ORDER BY events DESC, newest_ms DESC LIMIT {MAX_GROUPS}"""
    return statement(RejectedGroup, app_id, sql, conditions)


def _named(event_name: str | None) -> list[Condition]:
    return [] if event_name is None else [Condition(f"{_NAME} = {{name:String}}", {"name": event_name})]


def _about(path: str | None) -> list[Condition]:
    """Return the condition on the field by its path in the event, wherever in its batch that stood: `user_id` is
    `events[3].user_id` too.
    """
    if path is None:
        return []
    return [Condition(f"{_PATH} = {{about:String}}", {"about": path})]
