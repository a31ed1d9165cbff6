"""The error table of the HTTP contract."""

import pytest

from schemas.errors import ErrorCode

STATUS = {
    "INVALID_API_KEY": 401,
    "FORBIDDEN": 403,
    "MISSING_REQUIRED_FIELD": 400,
    "INVALID_EVENT_NAME": 400,
    "INVALID_PARAMETER": 400,
    "PAYLOAD_TOO_LARGE": 400,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "RATE_LIMIT_EXCEEDED": 429,
    "SERVER_ERROR": 500,
}


def test_codes_and_status() -> None:
    assert {code.value: code.status for code in ErrorCode} == STATUS


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_speaks_both_languages(code: ErrorCode) -> None:
    chinese, english = code.message("zh"), code.message("en")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
    assert english.isascii()
    assert english
    assert code.message("fr") == chinese


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (ErrorCode.INVALID_API_KEY, "API Key 无效"),
        (ErrorCode.MISSING_REQUIRED_FIELD, "缺少必填字段"),
        (ErrorCode.INVALID_EVENT_NAME, "事件名称无效"),
        (ErrorCode.RATE_LIMIT_EXCEEDED, "超出限流"),
        (ErrorCode.SERVER_ERROR, "服务器错误"),
    ],
)
def test_the_documents_own_words(code: ErrorCode, words: str) -> None:
    assert code.message("zh").startswith(words)
