from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.core.cursors import MAX_CHARACTERS, BadCursor, Cursors, Position

CURSORS = Cursors(b"k" * 32, "alpha")
LONGEST = Position(-(2**63), "u:" + "\x01" * 200)


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=100).filter(lambda text: text.isprintable()))
def test_a_cursor_comes_back(time_ms: int, row_id: str) -> None:
    assert CURSORS.decode("events", CURSORS.encode("events", Position(time_ms, row_id))) == (time_ms, row_id)


def test_a_cursor_needs_no_escaping_in_a_url() -> None:
    text = CURSORS.encode("events", Position(1, "ÿ>?~" * 9))
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda data: urlsafe_b64encode(data).decode()))
def test_nothing_else_is_a_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        CURSORS.decode("events", text)


def signed(payload: bytes, cursors: Cursors = CURSORS) -> str:
    return urlsafe_b64encode(cursors._sign("events", payload) + payload).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "payload",
    [
        b'[1,[1,"x"]]',
        b'[2,["1","x"]]',
        b'[2,[1.5,"x"]]',
        b'[2,[9223372036854775808,"x"]]',
        b'[2,[1,"x"],3]',
        b"[2,[1]]",
        b"{}",
        b"null",
        b"",
    ],
)
def test_signed_nonsense(payload: bytes) -> None:
    with pytest.raises(BadCursor):
        CURSORS.decode("events", signed(payload))


def test_a_position_of_ones_own() -> None:
    payload = b'[2,[1,"x"]]'
    assert CURSORS.decode("events", signed(payload)) == (1, "x")
    for forged in (
        signed(payload, Cursors(b"other", "alpha")),
        signed(payload, Cursors(b"k" * 32, "beta")),
        CURSORS.encode("users", Position(1, "x")),
        urlsafe_b64encode(bytes(16) + payload).rstrip(b"=").decode(),
        urlsafe_b64encode(payload).rstrip(b"=").decode(),
    ):
        with pytest.raises(BadCursor):
            CURSORS.decode("events", forged)


def test_any_other_character_breaks_it() -> None:
    text = CURSORS.encode("events", Position(1, "xy"))
    for place in range(len(text)):
        for other in ("A", "b", "-", "!", ""):
            altered = text[:place] + other + text[place + 1 :]
            if altered != text:
                with pytest.raises(BadCursor):
                    CURSORS.decode("events", altered)
    with pytest.raises(BadCursor):
        CURSORS.decode("events", text + "=")


def test_the_longest_id_fits() -> None:
    text = CURSORS.encode("users", LONGEST)
    assert len(text) <= MAX_CHARACTERS
    assert CURSORS.decode("users", text) == LONGEST


def test_the_key_is_not_shown() -> None:
    assert "kkk" not in repr(CURSORS)
