"""Ids of events that were published for somebody else."""

import pytest

from schemas.events import AcceptedEvent
from services.gateway.outcomes import Accepted, Duplicate
from services.gateway.recent_ids import SentIds

DAY_US = 86_400_000_000


def event(event_id: str = "order-1", user_id: str = "", anonymous_id: str = "", day: int = 1) -> AcceptedEvent:
    return AcceptedEvent("shop", event_id, "purchase", 0, day * DAY_US, user_id=user_id, anonymous_id=anonymous_id)


@pytest.fixture
def sent() -> SentIds:
    found = SentIds()
    found.published([event(anonymous_id="a1"), event("order-2", user_id="u2", anonymous_id="a2")])
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (event(user_id="u1"), True),
        (event(anonymous_id="a9"), True),
        (event(anonymous_id="a1"), False),  # the stream finds it, and counts it as a repeat
        (event(user_id="u1", anonymous_id="a1"), False),  # it says whose a1 is
        (event(), False),
        (event("order-2", anonymous_id="a2"), True),
        (event("order-3", user_id="u1"), False),
    ],
)
def test_it_is_anothers_where_the_person_is_another(sent: SentIds, given: AcceptedEvent, expected: bool) -> None:
    assert sent.is_anothers(given) is expected
    assert [type(outcome) for outcome in sent.judge([Accepted(0, given, 9)])] == [Duplicate if expected else Accepted]


def test_another_apps_ids_are_its_own(sent: SentIds) -> None:
    assert not sent.is_anothers(AcceptedEvent("other", "order-1", "purchase", 0, DAY_US, user_id="u1"))


def test_what_is_remembered_is_bounded_in_number_and_time() -> None:
    sent = SentIds(capacity=16)
    sent.published([event(user_id="u2")])
    sent.published([event(f"x{number}", user_id="u1") for number in range(500)])
    assert not sent.is_anothers(event(user_id="u1"))
    assert sum(sent.is_anothers(event(f"x{number}", user_id="u2")) for number in range(500)) <= 16
    sent.published([event("y", user_id="u1")])
    assert sent.is_anothers(event("y", user_id="u2", day=8))
    assert not sent.is_anothers(event("y", user_id="u2", day=9))


def test_ids_that_are_new_are_known_at_once(sent: SentIds) -> None:
    new = [event("order-3", user_id="u1"), event("order-4", user_id="u1")]
    assert not sent.has_anothers(new)
    assert sent.has_anothers([*new, event(user_id="u1")])
    sent.published(new)
    assert not sent.has_anothers(new), "sent again by the same person"
