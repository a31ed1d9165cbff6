"""Passwords, codes of an authenticator, tokens of forms, redirects: the rules of access."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.access import totp
from services.console.access.forms import is_local_path, is_same_origin, is_token, make_token
from services.console.access.passwords import Passwords, make_password, problem_with


@pytest.mark.parametrize("password", ["Abcdefghij12", "A1" + "b" * 30])
def test_a_password_of_the_rule(password: str) -> None:
    assert problem_with(password) == ""


@pytest.mark.parametrize(
    "password", ["", "Abcdefghi12", "A1" + "b" * 31, "abcdefghij12", "ABCDEFGHIJ12", "Abcdefghijkl"]
)
def test_a_password_against_the_rule(password: str) -> None:
    assert problem_with(password)


def test_made_passwords_follow_the_rule() -> None:
    made = {make_password() for _ in range(50)}
    assert len(made) == 50
    assert not any(map(problem_with, made))


async def test_a_password_fits_its_hash_alone() -> None:
    passwords = Passwords()
    hashed = await passwords.hash("Console-2026-ok")
    assert hashed.startswith("$argon2id$")
    assert await passwords.fits("Console-2026-ok", hashed)
    assert not await passwords.fits("Console-2026-no", hashed)
    assert not await passwords.fits("Console-2026-ok", "")


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")],
)
def test_codes_of_the_standard(seconds: int, code: str) -> None:
    # RFC 6238, appendix B: the secret is the text 12345678901234567890.
    assert totp.code_at("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", seconds) == code


@given(st.integers(100, 2**33), st.integers(-45, 45))
def test_a_code_fits_for_the_step_before_and_after(seconds: int, apart: int) -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    step = totp.step_of(secret, totp.code_at(secret, seconds), (seconds + apart) * 1_000)
    assert step == seconds // 30 or abs((seconds + apart) // 30 - seconds // 30) > 1


@pytest.mark.parametrize("secret", ["!", "é", "A", "=", "gezdgnbv"])
def test_no_code_fits_what_is_no_secret(secret: str) -> None:
    assert totp.step_of(secret, "287082", 59_000) is None


def test_a_token_is_another_one_in_every_page_and_fits_its_session_alone() -> None:
    first, second = make_token("session-1"), make_token("session-1")
    assert first != second
    assert is_token(first, "session-1")
    assert is_token(second, "session-1")
    assert not is_token(first, "session-2")


@given(st.text(string.printable, max_size=120))
def test_no_other_text_is_a_token(given: str) -> None:
    assert not is_token(given, "session-1")
    assert not is_token(given, "")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"sec-fetch-site": "same-origin", "origin": "http://a.example:1", "host": "a.example:1"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"origin": "https://a.example", "host": "a.example"}, True),
        ({"origin": "https://b.example", "host": "a.example"}, False),
        ({"origin": "null", "host": "a.example"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://a.example", "host": "a.example"}, False),
        ({"sec-fetch-site": "same-site", "origin": "https://a.example", "host": "a.example"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"host": "a.example"}, False),
        ({"origin": "http://[", "host": "["}, False),
        ({"origin": "http://[", "host": "a.example"}, False),
    ],
)
def test_only_a_page_of_ours_may_send_a_form(headers: dict[str, str], expected: bool) -> None:
    assert is_same_origin(headers) is expected


@pytest.mark.parametrize("path", ["/", "/apps/x/overview?from=2026-01-01", "/a//b"])
def test_paths_that_stay(path: str) -> None:
    assert is_local_path(path)


@pytest.mark.parametrize(
    "path", ["", "//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", "/\t/e", "\\\\e"]
)
def test_paths_that_lead_away(path: str) -> None:
    assert not is_local_path(path)
