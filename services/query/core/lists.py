"""Lists, newest first: the page asked for, the description of a list that its route answers by, and the text of the
answer. Pure.

One row more than asked for is read, to know whether there is a next page.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Generic, TypeVar

import msgspec
from typing_extensions import TypedDict

from schemas.control import App
from services.query.core.answer_text import BEGIN, END, batches, items_text
from services.query.core.answers import Meta
from services.query.core.cursors import BadCursor, Cursors, Position
from services.query.core.parameters import InPages, ListParameters
from services.query.core.sql import Listing, SortKey, Statement
from services.web.envelope import encode_json
from services.web.errors import Text, invalid

_BEGIN: Final = BEGIN + b'{"items":['
GivenT = TypeVar("GivenT", bound=ListParameters)
WantedT = TypeVar("WantedT")
RowT = TypeVar("RowT", bound=msgspec.Struct)
ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class Page:
    """Page asked for: `limit` rows after `after`."""

    limit: int
    after: Position | None = None
    cursors: Cursors | None = None
    """Encoder of the cursor of the next page."""

    @property
    def row_limit(self) -> int:
        return self.limit + 1

    def rest(self, read: int, last: Position) -> "Page":
        """Return the page of what is left when `read` rows have been read, the last of them at `last`."""
        return replace(self, limit=self.limit - read, after=last)


@dataclass(frozen=True)
class PageListing:
    """Base of a `Listing` of one page, other than that of plain rows (`core.sql.Newest`)."""

    app_id: str
    page: Page
    raw_rows_per_item: ClassVar[int] = 2
    """Raw rows looked at first for each item of the page."""

    @property
    def row_limit(self) -> int:
        return self.page.row_limit

    @property
    def first_reach(self) -> int:
        return self.raw_rows_per_item * self.row_limit


def page_of(given: InPages, list_name: str, cursors: Cursors) -> Page:
    """Return the page asked for. Raises `ApiError` for a cursor that is none of this list."""
    if given.cursor is None:
        return Page(given.limit, cursors=cursors)
    try:
        return Page(given.limit, cursors.decode(list_name, given.cursor), cursors)
    except BadCursor:
        reason = Text(
            "无效的游标，请原样传入上一页的 next_cursor", "not a cursor of this list; pass next_cursor unchanged"
        )
        raise invalid("cursor", reason) from None


class ListAnswer(TypedDict, Generic[ItemT]):
    items: list[ItemT]
    next_cursor: str | None
    meta: Meta


@dataclass(frozen=True)
class ResourceList(Generic[GivenT, WantedT, RowT, ItemT]):
    """A list of the API: from the parameters over the statement to the items of the answer."""

    name: str
    """Name in its cursors; those of another list are refused."""
    question: Callable[[GivenT, App], WantedT]
    statement: Callable[[str, WantedT, Page], Statement[RowT] | Listing[RowT]]
    order: SortKey
    """Order of the statement's rows."""
    item: Callable[[RowT, str], ItemT]
    """Item of a row; the text is the time zone."""


class PageText(Generic[RowT]):
    """The JSON text of an answer with a page of a list, made part by part from pieces of its rows."""

    def __init__(self, listed: ResourceList[Any, Any, RowT, Any], page: Page, meta: Meta) -> None:
        self._listed = listed
        self._asked = page
        self._meta = meta
        self._last: RowT | None = None
        self._left = page.limit
        self._has_next = False

    def add(self, rows: list[RowT]) -> Iterator[bytes]:
        """Yield the text of more rows, a few at a time."""
        kept = rows[: self._left]
        self._has_next = len(kept) < len(rows)
        begin = b"," if self._last is not None else _BEGIN
        for batch in batches(kept):
            yield begin + items_text([self._listed.item(row, self._meta["timezone"]) for row in batch])
            begin = b","
        if kept:
            self._last = kept[-1]
            self._left -= len(kept)

    def end(self) -> bytes:
        """Return the text after the items: the cursor of the next page if there is one, and `meta`."""
        next_cursor = None
        if self._has_next:
            assert self._last is not None, "the first row of a page always fits"
            assert self._asked.cursors is not None, "a page that may have a next one needs what makes its cursor"
            next_cursor = self._asked.cursors.encode(self._listed.name, self._listed.order.position(self._last))
        begin = b"" if self._last is not None else _BEGIN
        return begin + b"]," + encode_json({"next_cursor": next_cursor, "meta": self._meta})[1:] + END
