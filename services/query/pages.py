"""A page of a list. One row more than asked for is read, to know whether there is a next page. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from services.query.cursors import Cursors, Position

T = TypeVar("T")


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


def cut(list_name: str, rows: list[T], page: Page, position: Callable[[T], Position]) -> tuple[list[T], str | None]:
    """Return the page's rows, and the cursor of the next page if there is one."""
    if len(rows) <= page.limit:
        return rows, None
    assert page.cursors is not None, "a page that may have a next one needs what makes its cursor"
    kept = rows[: page.limit]
    return kept, page.cursors.encode(list_name, position(kept[-1]))
