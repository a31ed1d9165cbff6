"""Answers about people: shapes and examples. Pure."""

from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict

from services.query.core.answers import META, Meta, NextCursor, Number, Text


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
