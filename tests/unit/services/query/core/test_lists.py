"""The answer of a list: its items, and the cursor of the next page where there is one."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from schemas.control import App
from services.query.core.cursors import Cursors, Position
from services.query.core.lists import Page, PageText, ResourceList
from services.query.core.parameters import ListParameters
from services.query.core.sql import SortKey, Statement

CURSORS = Cursors(b"k" * 32, "alpha")
META: Any = {"timezone": "UTC"}


class Row(msgspec.Struct):
    at_ms: int
    id: str


def _statement(_app_id: str, _wanted: None, _page: Page) -> Statement[Row]:
    raise AssertionError("pages are made of rows that are there")


def _question(_given: ListParameters, _app: App) -> None:
    return None


NUMBERS = ResourceList("numbers", _question, _statement, SortKey("at_ms", "id"), lambda row, _zone: row.at_ms)


@pytest.mark.parametrize(
    ("rows", "kept", "has_next"),
    [
        ([], [], False),
        ([Row(3, "3"), Row(2, "2")], [3, 2], False),
        ([Row(3, "3"), Row(2, "2"), Row(1, "1")], [3, 2], True),
    ],
    ids=["empty", "all there is", "one more"],
)
@pytest.mark.parametrize("cuts", [(), (1,), (1, 2), (2,)])
def test_a_page_knows_whether_there_is_another(
    rows: list[Row], kept: list[int], has_next: bool, cuts: tuple[int, ...]
) -> None:
    """In however many pieces its rows come."""
    page = Page(limit=2, cursors=CURSORS)
    assert page.row_limit == 3
    text = PageText(NUMBERS, page, META)
    bounds = [0, *(cut for cut in cuts if cut < len(rows)), len(rows)]
    parts = [part for start, end in pairwise(bounds) for part in text.add(rows[start:end])]
    answer = msgspec.json.decode(b"".join((*parts, text.end())))["data"]
    assert answer["items"] == kept
    assert answer["meta"] == META
    if has_next:
        assert CURSORS.decode("numbers", answer["next_cursor"] or "") == (kept[-1], str(kept[-1]))
    else:
        assert answer["next_cursor"] is None


def test_what_is_left_of_a_page_is_asked_for_after_the_last_row_read() -> None:
    page = Page(limit=5, after=Position(9, "9"), cursors=CURSORS)
    assert page.rest(2, Position(7, "7")) == Page(limit=3, after=Position(7, "7"), cursors=CURSORS)
