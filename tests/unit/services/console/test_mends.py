"""Likely mends of refused events whose text is hard to read."""

import pytest

from schemas.errors import ErrorCode
from services.console.mends import likely_mend

GROUP = {"code": ErrorCode.MISSING_REQUIRED_FIELD, "about": "event_name", "reason": "", "event_name": ""}


@pytest.mark.parametrize("payload", ["", "[" * 5_000, '{"event": "\ud800"}', '{"event": 1e999}'])
def test_a_text_that_cannot_be_read_holds_no_name(payload: str) -> None:
    assert likely_mend(GROUP, payload).from_path == ""


def test_the_field_that_may_hold_the_name_is_told() -> None:
    assert likely_mend(GROUP, '{"event": "purchase"}').from_path == "event"
