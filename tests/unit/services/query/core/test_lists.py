"""The answer of a list: its items, and the cursor of the next page where there is one."""

from typing import Any

import msgspec
import pytest

from schemas.control import App
from services.query.core.cursors import Cursors
from services.query.core.lists import Page, ResourceList
from services.query.core.parameters import ListParameters
from services.query.core.sql import SortKey, Statement

CURSORS = Cursors(b"k" * 32, "alpha")
META: Any = {"timezone": "UTC"}


class Row(msgspec.Struct):
    at_ms: int
    id: str
    fits: bool = True


def _statement(_app_id: str, _wanted: None, _page: Page) -> Statement[Row]:
    raise AssertionError("pages are made of rows that are there")


def _question(_given: ListParameters, _app: App) -> None:
    return None


NUMBERS = ResourceList(
    "numbers", _question, _statement, SortKey("at_ms", "id"), lambda row, _zone: row.at_ms, lambda row: row.fits
)


@pytest.mark.parametrize(
    ("rows", "kept", "has_next"),
    [
        ([], [], False),
        ([Row(3, "3"), Row(2, "2")], [3, 2], False),
        ([Row(3, "3"), Row(2, "2"), Row(1, "1")], [3, 2], True),
        ([Row(3, "3"), Row(2, "2", fits=False)], [3], True),
    ],
    ids=["empty", "all there is", "one more", "too large for the page"],
)
def test_a_page_knows_whether_there_is_another(rows: list[Row], kept: list[int], has_next: bool) -> None:
    page = Page(limit=2, cursors=CURSORS)
    assert page.row_limit == 3
    answer = NUMBERS.answer(rows, page, META)
    assert answer["items"] == kept
    if has_next:
        assert CURSORS.decode("numbers", answer["next_cursor"] or "") == (kept[-1], str(kept[-1]))
    else:
        assert answer["next_cursor"] is None
