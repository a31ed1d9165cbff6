"""The rule of the person key stands in `schemas.persons` alone, and the tables' column is made by it."""

import re
from pathlib import Path

import pytest

from schemas.clickhouse import load_migrations
from schemas.persons import ALONE, ANONYMOUS, USER, id_of, is_user, person_key

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("ids", "key"),
    [(("u", "a", "e"), "u:u"), (("", "a", "e"), "a:a"), (("", "", "e"), "e:e"), (("u:x", "", "e"), "u:u:x")],
)
def test_the_first_id_there_is_makes_the_key(ids: tuple[str, str, str], key: str) -> None:
    assert person_key(*ids) == key
    assert id_of(key) == next(filter(None, ids))
    assert is_user(key) == bool(ids[0])


def test_the_column_is_made_by_the_same_rule() -> None:
    sql = " ".join(load_migrations()[0].sql.split())
    rule = (
        f"user_id != '', concat('{USER}', user_id), anonymous_id != '', concat('{ANONYMOUS}', anonymous_id), "
        f"concat('{ALONE}', event_id)"
    )
    assert f"person_key String MATERIALIZED multiIf( {rule} )" in sql


def test_no_other_module_spells_a_prefix() -> None:
    spelled = re.compile(rf"""['"]({USER}|{ANONYMOUS}|{ALONE})['"]""")
    folders = ("schemas", "pipeline", "services", "deploy")
    found = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "node_modules" not in path.parts and spelled.search(path.read_text())
    }
    assert found == {"schemas/persons.py"}
