import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.event_names import suggest_name
from schemas.events import EVENT_NAME_PATTERN


@pytest.mark.parametrize(
    ("given_name", "suggestion"),
    [
        ("APP INSTALL", "app_install"),
        ("Purchase-Complete", "purchase_complete"),
        ("pageView", "page_view"),
        ("HTTPRequestSent", "http_request_sent"),
        ("  add to cart! ", "add_to_cart"),
        ("2nd_visit", "event_2nd_visit"),
        ("_private", "private"),
        ("购买", ""),
    ],
)
def test_suggestions(given_name: str, suggestion: str) -> None:
    assert suggest_name(given_name) == suggestion


@given(st.text(max_size=256))
def test_a_suggestion_is_itself_a_name(text: str) -> None:
    suggestion = suggest_name(text)
    assert suggestion == "" or EVENT_NAME_PATTERN.match(suggestion)
