"""The person an id means, and the keys a person's events lie under."""

import pytest

from services.query.identity.person_links import (
    LinkRow,
    PersonRow,
    choose,
    choose_person,
    event_keys,
    user_ids_of,
)

OWNED = LinkRow("a1", "u1", True)
SHARED = LinkRow("a2", "u1", False)


@pytest.mark.parametrize(
    ("found", "owners", "chosen"),
    [
        ([], [OWNED], "u:u1"),
        ([PersonRow("a:a1", 9)], [OWNED], "u:u1"),
        ([PersonRow("u:u2", 9)], [OWNED], "u:u1"),
        ([PersonRow("u:a1", 1), PersonRow("u:u2", 9)], [OWNED], "u:a1"),
        ([PersonRow("a:a1", 1), PersonRow("u:u2", 9)], [], "a:a1"),
        ([], [], None),
    ],
    ids=[
        "only linked so far",
        "its old sessions are still to be taken back",
        "another user of the device was seen later",
        "a user has that very id",
        "nobody's",
        "unknown",
    ],
)
def test_whom_an_id_means(found: list[PersonRow], owners: list[LinkRow], chosen: str | None) -> None:
    assert choose("a1", found, owners) == chosen


def test_events_lie_under_the_users_key_and_those_of_the_ids_it_owns() -> None:
    assert event_keys("u:u1", [OWNED, SHARED, LinkRow("a3", "u2", True)]) == ("u:u1", "a:a1")
    assert event_keys("a:a9", []) == ("a:a9",)
    assert user_ids_of(["u:u1", "a:a1", "u:a:x"]) == ["u1", "a:x"]


def test_a_user_comes_before_a_visitor_and_both_before_somebody_linked() -> None:
    user, visitor = PersonRow("u:x", 1), PersonRow("a:x", 2)
    linked, linked_later = PersonRow("u:other", 3), PersonRow("u:another", 4)
    assert choose_person("x", [linked, visitor, user]) == "u:x"
    assert choose_person("x", [linked, visitor]) == "a:x"
    assert choose_person("x", [linked, linked_later]) == "u:another"
    assert choose_person("x", []) is None
