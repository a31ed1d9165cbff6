"""The time from which on an event may have changed the past of conversions; earlier ones are never looked at."""

from typing import Any

import pytest
from stories import START_MS

from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.expiry import decode_closed
from pipeline.domain.conversions.recount import restructure
from pipeline.domain.conversions.restatement import MAX_CLOSED_PER_WAKEUP
from pipeline.domain.effects import Effects
from pipeline.domain.state import MAX_CONVERSIONS
from pipeline.domain.touches.touch import marketing_touch
from schemas.events import StreamEvent
from schemas.people import OrderClosed


def change_from(person: Any, minutes: float, campaign: str = "") -> float | None:
    """In minutes after ten; None: nothing is to be looked at."""
    event = StreamEvent("shop", "new", "page_view", START_MS + int(minutes * 60_000), 0, "u1")
    if campaign:
        event.campaign_source, event.campaign_medium, event.campaign_name = "google", "cpc", campaign
    event.page_url = "https://shop.example/"
    marketing = marketing_touch(event, person.rules.channels) if campaign else None
    context = PersonContext(person.state, "shop", "u:u1", person.rules, event.timestamp_ms, Effects())
    change = restructure(context, event, marketing, [])
    return None if change.from_ms is None else (change.from_ms - START_MS) / 60_000


@pytest.mark.parametrize(
    ("minutes", "campaign", "expected"),
    [
        pytest.param(12, "new", 12, id="a contact in order: conversions before it stay as they are"),
        pytest.param(7, "new", 7, id="a late contact: from it on"),
        pytest.param(7, "", None, id="a late page view inside the session changes no touch and no session"),
        pytest.param(7, "first", None, id="a repeat of an earlier contact is no touch"),
        pytest.param(-5, "", -5, id="an earlier beginning gives the session another name"),
        pytest.param(100, "new", 100, id="a later session"),
    ],
)
def test_conversions_are_looked_at_from_the_earliest_change_on(
    person: Any, minutes: float, campaign: str, expected: float | None
) -> None:
    fields = {"campaign_source": "google", "campaign_medium": "cpc", "campaign_name": "first"}
    person.does("page_view", 0, page_url="https://shop.example/", **fields)
    person.buys(10, "order")
    assert change_from(person, minutes, campaign) == expected


def test_an_order_of_many_conversions_leaves_in_steps(person: Any) -> None:
    for number in range(MAX_CONVERSIONS):
        person.buys(number / 10, f"p{number:03}", order_id="A")
    person.effects.messages.clear()
    person.buys(11, "last", order_id="B")
    sizes = [_closed(person)]
    while person.pay_once():
        sizes.append(_closed(person))
    assert sum(sizes) == MAX_CONVERSIONS
    assert max(sizes) <= MAX_CLOSED_PER_WAKEUP
    assert [found.event_id for found in person.state.conversions] == ["last"]


def _closed(person: Any) -> int:
    """Conversions that have gone to their orders since the last call."""
    closed = [record for record in person.effects.messages if isinstance(record, OrderClosed)]
    person.effects.messages.clear()
    return sum(len(decode_closed(record.conversions).conversions) for record in closed)


def test_a_late_contact_of_many_conversions_is_written_in_steps_and_ends_as_if_it_had_come_in_order(
    make_person: Any,
) -> None:
    late, in_order = make_person(), make_person()
    ad = "https://shop.example/?utm_source=google&utm_medium=cpc&utm_campaign="
    for person, first in ((in_order, "0"), (late, "1")):
        for number in range(int(first), 30):
            person.does("page_view", number / 10, f"t{number}", page_url=f"{ad}c{number}")
        for number in range(60):
            person.buys(4 + number / 10, f"bought {number}")
    rows = len(late.effects.conversions)
    late.does("page_view", 0, "t0", page_url=f"{ad}c0")
    assert len(late.effects.conversions) == rows, "no event writes that many rows itself"
    assert late.state.conversions[0].owed
    late.publish(10_000_000)
    assert len(late.state.conversions) == 60, "what is owed is not forgotten"
    assert late.pay() == 3
    paths = [{row.conversion_id: row.touch_ids for row in person.attributions()} for person in (late, in_order)]
    assert paths[0] == paths[1]
    assert all(path[0] == "t0" for path in paths[0].values())
