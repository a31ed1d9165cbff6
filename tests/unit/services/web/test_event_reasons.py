"""Reasons of refused events, read back from their English texts."""

import ast
from pathlib import Path

import pytest

from schemas.errors import ErrorCode
from services import gateway
from services.web import event_reasons
from services.web.errors import Text
from services.web.event_reasons import INVALID_ROW, not_json_at, stored_reason, too_old

CONSTANT = [one for one in vars(event_reasons).values() if isinstance(one, Text)]
PARAMETER = ErrorCode.INVALID_PARAMETER.value
ANSWERED_ONLY = {"browser", "client_rate", "events_api", "forward", "visitors"}
"""Modules of the gateway whose reasons are told to the caller and not stored."""


@pytest.mark.parametrize("reason", [*CONSTANT, too_old(30), not_json_at("trailing comma is not allowed", 3, 14, 40)])
def test_a_reason_is_read_back(reason: Text) -> None:
    assert stored_reason(PARAMETER, reason.en) == reason


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_without_a_reason_is_stored_with_the_message_of_its_code(code: ErrorCode) -> None:
    assert stored_reason(code.value, code.message("en")).zh == code.message("zh")


def test_a_text_that_is_not_known_is_shown_as_it_is_with_what_its_code_means() -> None:
    assert stored_reason(INVALID_ROW, "events: Cannot parse").en == "events: Cannot parse"
    assert stored_reason(INVALID_ROW, "events: Cannot parse").zh == "数据库拒绝了该行：events: Cannot parse"
    assert stored_reason("OF_A_LATER_VERSION", "so") == Text("OF_A_LATER_VERSION：so", "so")
    assert stored_reason(PARAMETER, "").en == ErrorCode.INVALID_PARAMETER.message("en")


def test_a_message_of_the_parser_that_is_not_known_keeps_its_place() -> None:
    chinese = stored_reason(PARAMETER, "it is not valid JSON: a new trouble: line 1 column 2 (char 1)").zh
    assert chinese == "JSON 格式错误：语法错误（第 1 行第 2 列）"


def test_reasons_that_may_be_stored_stand_in_one_module() -> None:
    def makes_a_text(path: Path) -> bool:
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        return any(isinstance(one.func, ast.Name) and one.func.id == "Text" for one in calls)

    folder = Path(gateway.__file__).parent
    assert {path.stem for path in folder.glob("*.py") if makes_a_text(path)} == ANSWERED_ONLY
