from services.query.identity.person_links import LinkRow
from services.query.users.answers import with_links
from services.query.users.statements import MAX_LINKED_IDS, UserRow


def test_ids_are_shown_once_and_not_without_end() -> None:
    row = UserRow("u:u1", ["a0", "a1"], 1, 2, 3, 4, 5, 6, {}, "direct", "direct", False)
    other = UserRow("u:u2", [], 1, 2, 3, 4, 5, 6, {}, "direct", "direct", False)
    shown, unlinked = with_links([row, other], [LinkRow("a1", "u1", True), LinkRow("a2", "u1", False)])
    assert (shown.linked_ids, unlinked.linked_ids) == (["a0", "a1", "a2"], [])
    (many,) = with_links([row], [LinkRow(f"b{n}", "u1", True) for n in range(300)])
    assert len(many.linked_ids) == MAX_LINKED_IDS
