"""Answers about people: shapes, examples, and rows as items, with linked ids, and values less refunds. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec
from pydantic import Field
from typing_extensions import TypedDict

from schemas.persons import USER, id_of, is_user
from services.query.core.answers import META, Meta, NextCursor, Number, Text
from services.query.core.numbers import money_by_currency
from services.query.core.times import time_in_zone
from services.query.identity.person_links import LinkRow
from services.query.users.statements import MAX_LINKED_IDS, RefundRow, UserRow


class User(TypedDict):
    id: Annotated[str, Field(description="What `/users/{id}` finds it by.")]
    user_id: Text
    linked_ids: Annotated[list[str], Field(description="Anonymous ids seen with this user (at most 100).")]
    first_seen: str
    last_seen: str
    sessions: int
    events: int
    page_views: int
    conversions: Annotated[int, Field(description="Of every goal, micro goals too.")]
    values: Annotated[dict[str, Number], Field(description="Conversion value by currency, after refunds.")]
    first_channel: Text
    last_channel: Text
    is_bot: Annotated[bool, Field(description="All of the sessions are a bot's.")]


class UserList(TypedDict):
    items: list[User]
    next_cursor: NextCursor
    meta: Meta


class UserDetail(TypedDict):
    user: User
    meta: Meta


_USER: Final = {
    "id": "u_42",
    "user_id": "u_42",
    "linked_ids": ["a_7"],
    "first_seen": "2024-01-02T16:00:00.000+08:00",
    "last_seen": "2024-01-15T18:30:00.000+08:00",
    "sessions": 3,
    "events": 14,
    "page_views": 9,
    "conversions": 1,
    "values": {"CNY": 199.0},
    "first_channel": "paid_search",
    "last_channel": "direct",
    "is_bot": False,
}
EXAMPLE_LIST: Final = {"items": [_USER], "next_cursor": None, "meta": META}
EXAMPLE_DETAIL: Final = {"user": _USER, "meta": META}


def user_detail(row: UserRow, meta: Meta) -> UserDetail:
    return {"user": user_of(row, meta["timezone"]), "meta": meta}


def user_of(row: UserRow, zone: str) -> User:
    own_id = id_of(row.person_key)
    is_known_user = is_user(row.person_key)
    return {
        "id": own_id,
        "user_id": own_id if is_known_user else None,
        "linked_ids": row.linked_ids,
        "first_seen": time_in_zone(row.first_seen_ms, zone),
        "last_seen": time_in_zone(row.last_seen_ms, zone),
        "sessions": row.session_count,
        "events": row.event_count,
        "page_views": row.page_view_count,
        "conversions": row.conversion_count,
        "values": money_by_currency(row.totals_minor),
        "first_channel": row.first_channel or None,
        "last_channel": row.last_channel or None,
        "is_bot": row.has_only_bots,
    }


def less_refunds(rows: list[UserRow], refunds: list[RefundRow]) -> list[UserRow]:
    """Return the rows with the values less refunds."""
    found = {row.person_key: row.taken_back for row in refunds}
    return [_less(row, found[row.person_key]) if row.person_key in found else row for row in rows]


def _less(row: UserRow, refunded: dict[str, int]) -> UserRow:
    left = {currency: amount - refunded.get(currency, 0) for currency, amount in row.totals_minor.items()}
    return msgspec.structs.replace(row, totals_minor=left)


def with_links(rows: Iterable[UserRow], links: Iterable[LinkRow]) -> list[UserRow]:
    """Add to each the ids it is linked with, beside those its sessions show."""
    by_user: Mapping[str, list[str]] = defaultdict(list)
    for link in links:
        by_user[USER + link.user_id].append(link.anonymous_id)
    return [_with_ids(row, by_user.get(row.person_key, [])) for row in rows]


def _with_ids(row: UserRow, linked: list[str]) -> UserRow:
    together = dict.fromkeys([*linked[:MAX_LINKED_IDS], *row.linked_ids])
    return msgspec.structs.replace(row, linked_ids=sorted(list(together)[:MAX_LINKED_IDS]))
