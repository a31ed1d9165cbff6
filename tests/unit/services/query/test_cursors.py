from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.cursors import BadCursor, Position, decode_cursor, encode_cursor
from services.query.pages import Page, cut


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=100).filter(lambda text: text.isprintable()))
def test_a_cursor_comes_back(time_ms: int, row_id: str) -> None:
    assert decode_cursor("events", encode_cursor("events", Position(time_ms, row_id))) == (time_ms, row_id)


def test_a_cursor_needs_no_escaping_in_a_url() -> None:
    text = encode_cursor("events", Position(1, "ÿ>?~" * 9))
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda data: urlsafe_b64encode(data).decode()))
def test_nothing_else_is_a_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        decode_cursor("events", text)


@pytest.mark.parametrize(
    "content",
    [
        b'[1,"users",[1,"x"]]',
        b'[2,"events",[1,"x"]]',
        b'[1,"events",["1","x"]]',
        b'[1,"events",[1.5,"x"]]',
        b'[1,"events",[9223372036854775808,"x"]]',
        b'[1,"events",[1,"x"],3]',
        b'[1,"events",[1]]',
        b"{}",
        b"null",
    ],
)
def test_a_forged_cursor(content: bytes) -> None:
    with pytest.raises(BadCursor):
        decode_cursor("events", urlsafe_b64encode(content).rstrip(b"=").decode())


@pytest.mark.parametrize(
    ("rows", "kept", "more"), [([], [], False), ([3, 2], [3, 2], False), ([3, 2, 1], [3, 2], True)]
)
def test_a_page_knows_whether_there_is_another(rows: list[int], kept: list[int], more: bool) -> None:
    page = Page(limit=2)
    assert page.row_limit == 3
    found, cursor = cut("numbers", rows, page, lambda row: Position(row, str(row)))
    assert found == kept
    assert (cursor is not None) == more
    if cursor:
        assert decode_cursor("numbers", cursor) == (2, "2")
