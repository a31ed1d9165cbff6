"""Pages of rows, whose cuts lose none and repeat none."""

import json

from hypothesis import given
from hypothesis import strategies as st

from deploy.table_copy.pages import Columns, page_of, rows_after

COLUMNS = Columns({"a": "String", "b": "Int64", "c": "Int64"}, ("a", "b"))


@given(
    st.lists(st.tuples(st.text(max_size=3), st.integers(0, 2), st.integers(0, 9))),
    st.integers(1, 99),
    st.integers(1, 50),
)
def test_pages_one_after_another_are_all_rows_and_no_key_is_in_two(
    rows: list[tuple[str, int, int]], page_bytes: int, piece_bytes: int
) -> None:
    left = [json.dumps(dict(zip("abc", row, strict=True)), ensure_ascii=False).encode() for row in sorted(rows)]
    found, keys = list[bytes](), list[set[tuple[object, ...]]]()
    everything = list(left)
    while left:
        data = b"".join(line + b"\n" for line in left)
        pieces = [data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)]
        page = page_of(pieces, COLUMNS, page_bytes)
        assert page.lines
        assert page.is_cut == (len(page.lines) < len(left))
        found += page.data.split(b"\n")
        keys.append({COLUMNS.key_of(line) for line in page.lines})
        left = left[len(page.lines) :]
    assert found == everything
    assert sum(map(len, keys)) == len(set().union(*keys))


def test_rows_after_a_key_are_a_range_of_the_primary_index() -> None:
    assert rows_after((), COLUMNS) == ("", {})
    where, bound = rows_after(("x", 3), COLUMNS)
    assert where == " WHERE (`a` > {key_0:String}) OR (`a` = {key_0:String} AND `b` > {key_1:Int64})"
    assert bound == {"key_0": "x", "key_1": 3}
