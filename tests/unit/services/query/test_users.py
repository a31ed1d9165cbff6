from services.query.users import PersonRow, choose_person


def test_a_user_comes_before_a_visitor_and_both_before_somebody_linked() -> None:
    user, visitor = PersonRow("u:x", 1), PersonRow("a:x", 2)
    linked, linked_later = PersonRow("u:other", 3), PersonRow("u:another", 4)
    assert choose_person("x", [linked, visitor, user]) == "u:x"
    assert choose_person("x", [linked, visitor]) == "a:x"
    assert choose_person("x", [linked, linked_later]) == "u:another"
    assert choose_person("x", []) is None
