"""The time from which on an event may have changed the past of conversions; earlier ones are never looked at."""

from typing import Any

import pytest
from stories import START_MS

from pipeline.domain.effects import Effects
from pipeline.domain.restating import restructure
from pipeline.domain.touches import marketing_touch
from schemas.events import StreamEvent


def change_from(person: Any, minutes: float, campaign: str = "") -> float | None:
    """In minutes after ten; None: nothing is to be looked at."""
    event = StreamEvent("shop", "new", "page_view", START_MS + int(minutes * 60_000), 0, "u1")
    if campaign:
        event.campaign_source, event.campaign_medium, event.campaign_name = "google", "cpc", campaign
    event.page_url = "https://shop.example/"
    marketing = marketing_touch(event, person.rules.channels) if campaign else None
    change = restructure(person.state, event, "u:u1", person.rules, marketing, [], Effects())
    return None if change.from_ms is None else (change.from_ms - START_MS) / 60_000


@pytest.mark.parametrize(
    ("minutes", "campaign", "expected"),
    [
        pytest.param(12, "new", 12, id="a contact in order: conversions before it stay as they are"),
        pytest.param(7, "new", 7, id="a late contact: from it on"),
        pytest.param(7, "", None, id="a late page view inside the visit changes no touch and no session"),
        pytest.param(7, "first", None, id="a repeat of an earlier contact is no touch"),
        pytest.param(-5, "", -5, id="an earlier beginning gives the session another name"),
        pytest.param(100, "new", 100, id="a later visit"),
    ],
)
def test_conversions_are_looked_at_from_the_earliest_change_on(
    person: Any, minutes: float, campaign: str, expected: float | None
) -> None:
    fields = {"campaign_source": "google", "campaign_medium": "cpc", "campaign_name": "first"}
    person.does("page_view", 0, page_url="https://shop.example/", **fields)
    person.buys(10, "order")
    assert change_from(person, minutes, campaign) == expected
