from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.query.core.encoded_slashes import WithSlashes, routable

whole = TypeAdapter(WithSlashes).validate_python


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        ("/v1/users/u1", ["v1", "users", "u1"]),
        ("/v1/users/a%2Fb%2fc", ["v1", "users", "a/b/c"]),
        ("/v1/users/a%252Fb", ["v1", "users", "a%2Fb"]),
        ("/v1/users/%E4%B8%AD%2F", ["v1", "users", "中/"]),
        ("/v1/users/%ff", ["v1", "users", "\ufffd"]),
    ],
)
def test_only_the_slashes_of_the_path_divide_it(raw: str, parts: list[str]) -> None:
    assert [whole(part) for part in routable(raw).split("/")[1:]] == parts


@given(st.text())
def test_any_id_comes_back(given_id: str) -> None:
    assert whole(routable(quote(given_id, safe=""))) == given_id
