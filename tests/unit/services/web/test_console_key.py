"""The console's key: for one app, for a minute, signed."""

from hypothesis import given
from hypothesis import strategies as st

from services.web.console_key import LIFE_MS, app_of_console_key, make_console_key

KEY = bytes(range(32))
NOW_MS = 1_800_000_000_000
APP_IDS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)


@given(APP_IDS, st.integers(1, LIFE_MS))
def test_it_names_its_app_while_it_holds(app_id: str, left_ms: int) -> None:
    made = make_console_key(KEY, app_id, NOW_MS + left_ms)
    assert app_of_console_key(made, KEY, NOW_MS) == app_id
    assert app_of_console_key(made, KEY, NOW_MS + left_ms) is None
    assert app_of_console_key(made, bytes(32), NOW_MS) is None
    assert app_of_console_key(made, b"", NOW_MS) is None


@given(APP_IDS, APP_IDS)
def test_it_cannot_be_turned_to_another_app_or_time(app_id: str, other: str) -> None:
    made = make_console_key(KEY, app_id, NOW_MS + 1_000)
    prefix, expiry, _, signature = made.split(".")
    assert other == app_id or app_of_console_key(".".join((prefix, expiry, other, signature)), KEY, NOW_MS) is None
    later = ".".join((prefix, str(int(expiry) + 1), app_id, signature))
    assert app_of_console_key(later, KEY, NOW_MS) is None


def test_one_that_holds_too_long_is_none() -> None:
    assert app_of_console_key(make_console_key(KEY, "demo", NOW_MS + 10 * LIFE_MS), KEY, NOW_MS) is None


@given(st.text(max_size=200))
def test_any_other_text_is_none(given: str) -> None:
    assert app_of_console_key(given, KEY, NOW_MS) is None
