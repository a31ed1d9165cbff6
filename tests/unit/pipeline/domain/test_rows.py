"""Rows from states: a fact both have under one name reaches its column without being named in between."""

import msgspec
import pytest

from pipeline.domain.context import PersonContext
from pipeline.domain.effects import Effects
from pipeline.domain.rows import NO_TOUCH, attribution_row, conversion_row, session_tombstone
from pipeline.domain.rules import compile_rules
from pipeline.domain.state import Conversion, new_state
from schemas.control import App
from schemas.facts import SessionRow

CONVERSION = Conversion(1_000, "e1", "purchase", "macro", "a1", 5_000, "CNY", "o1", "ses_1", 3, "digest", 2)
CONVERSION.config_version, CONVERSION.refunded_minor, CONVERSION.refund_excess_minor = 4, 700, 30
CONVERSION.value_issue, CONVERSION.row_revision, CONVERSION.is_bot = "negative_value", 6, True
CONTEXT = PersonContext(new_state(), "shop", "u:u1", compile_rules(App("shop", "Shop")), 0, Effects())


@pytest.mark.parametrize("write", [conversion_row, attribution_row])
def test_what_a_conversion_and_its_row_have_under_one_name_is_the_same(write) -> None:
    row = write(CONTEXT, CONVERSION, NO_TOUCH, "refund")
    shared = set(CONVERSION.__struct_fields__) & set(row.__struct_fields__)
    differs = {name for name in shared if getattr(row, name) != getattr(CONVERSION, name)}
    assert differs == ({"value_minor"} if write is attribution_row else set())
    assert {"value_issue", "refunded_minor", "goal", "currency"} <= shared


def test_a_session_that_is_no_more_says_nothing_but_which_it_was() -> None:
    row = session_tombstone("shop", "a:a1", (1_000, "e1"), 8)
    said = {name: value for name, value in msgspec.structs.asdict(row).items() if value}
    assert said.keys() == {
        "app_id",
        "session_id",
        "person_key",
        "anonymous_id",
        "start_ms",
        "end_ms",
        "is_closed",
        "revision",
        "is_deleted",
    }
    assert isinstance(row, SessionRow)
    assert row.values_minor is not session_tombstone("shop", "a:a1", (1_000, "e1"), 8).values_minor
