"""Whom an id means, under which keys a person's events lie, and which ids are shown with a user."""

import pytest

from services.query.people import LinkRow, choose, event_keys, user_ids_of, with_links
from services.query.users import MAX_LINKED_IDS, PersonRow, UserRow

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


def test_ids_are_shown_once_and_not_without_end() -> None:
    row = UserRow("u:u1", ["a0", "a1"], 1, 2, 3, 4, 5, 6, {}, "direct", "direct", False)
    other = UserRow("u:u2", [], 1, 2, 3, 4, 5, 6, {}, "direct", "direct", False)
    shown, unlinked = with_links([row, other], [OWNED, SHARED])
    assert (shown.linked_ids, unlinked.linked_ids) == (["a0", "a1", "a2"], [])
    (many,) = with_links([row], [LinkRow(f"b{n}", "u1", True) for n in range(300)])
    assert len(many.linked_ids) == MAX_LINKED_IDS
