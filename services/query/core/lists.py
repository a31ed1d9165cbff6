"""Lists, newest first: the page asked for, and the description of a list that its route answers by. Pure.

One row more than asked for is read, to know whether there is a next page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import msgspec
from typing_extensions import TypedDict

from schemas.control import App
from services.query.core.answers import Meta
from services.query.core.cursors import BadCursor, Cursors, Position
from services.query.core.parameters import InPages, ListParameters
from services.query.core.sql import Listing, SortKey, Statement
from services.web.errors import Text, invalid

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


def _fits(_row: object) -> bool:
    return True


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
    fits: Callable[[RowT], bool] = _fits
    """False of the first row that is for the next page, whatever the limit, and of all after it."""

    def answer(self, rows: list[RowT], page: Page, meta: Meta) -> ListAnswer[ItemT]:
        """Return the page's items, and the cursor of the next page if there is one."""
        kept = [row for row in rows[: page.limit] if self.fits(row)]
        next_cursor = None
        if len(kept) < len(rows):
            assert page.cursors is not None, "a page that may have a next one needs what makes its cursor"
            next_cursor = page.cursors.encode(self.name, self.order.position(kept[-1]))
        return {
            "items": [self.item(row, meta["timezone"]) for row in kept],
            "next_cursor": next_cursor,
            "meta": meta,
        }
