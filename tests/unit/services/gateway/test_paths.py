"""One form of a path, for whoever checks, counts, routes or forwards it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.paths import canonical_path, encoded_path


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/v1/events", "/v1/events"),
        (b"/v1/%65vents", "/v1/events"),
        (b"/v1/users/a%7Eb%3Ac", "/v1/users/a~b:c"),
        (b"/v1/users/%E9%A6%96", "/v1/users/首"),
        (b"/v1/users/a%5Cb", "/v1/users/a\\b"),
        (b"/v1/users/...", "/v1/users/..."),
        (b"/v1/users/%252e%252e", "/v1/users/%2e%2e"),
        (b"/v1/events/", "/v1/events/"),
    ],
)
def test_a_path_is_read_once(raw: bytes, path: str) -> None:
    assert canonical_path(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"*",
        b"v1/events",
        b"/x/../operator/ledger",
        b"/x/%2e%2e/operator/ledger",
        b"/x/.%2E/operator/ledger",
        b"/v1/./events",
        b"/v1/events/..",
        b"/v1/events/%2e",
        b"//operator/ledger",
        b"/v1//events",
        b"/v1/%2fevents",
        b"/x%2f..%2foperator/ledger",
        b"/x\\..\\operator\\ledger",
        b"/%00",
        b"/v1/events%0a",
        b"/v1/%ff",
    ],
)
def test_what_others_may_read_differently_is_no_path(raw: bytes) -> None:
    assert canonical_path(raw) is None


@given(st.text().map("/".__add__) | st.binary().map(lambda raw: b"/" + raw))
def test_what_is_forwarded_is_what_was_checked(given_path: str | bytes) -> None:
    raw = given_path if isinstance(given_path, bytes) else given_path.encode("utf-8", "surrogatepass")
    path = canonical_path(raw)
    if path is not None:
        assert canonical_path(encoded_path(path)) == path
        assert encoded_path(path).isascii()
        assert not {".", ".."} & set(path.split("/"))
