from decimal import Decimal

import msgspec
import pytest

from schemas.errors import ErrorCode
from services.web.envelope import encode_json, failure, language_of, success
from services.web.errors import ApiError, Text, invalid, missing, server_error


def test_the_two_shapes() -> None:
    reply = success(201, {"a": msgspec.Raw(b'{"x": 1.50}'), "b": Decimal("1.10")})
    assert (reply.status, reply.body) == (201, b'{"success":true,"data":{"a":{"x": 1.50},"b":1.10}}')
    refused = failure(invalid("limit", Text("太大", "too large")), "en")
    assert refused.status == 400
    assert msgspec.json.decode(refused.body) == {
        "success": False,
        "error": {
            "code": "INVALID_PARAMETER",
            "message": "A parameter is invalid: limit: too large",
            "details": {"field": "limit", "reason": "too large"},
        },
    }


@pytest.mark.parametrize("code", list(ErrorCode))
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_code_has_its_status_and_words(code: ErrorCode, language: str) -> None:
    reply = failure(ApiError(code), language)  # type: ignore[arg-type]
    error = msgspec.json.decode(reply.body)["error"]
    assert error == {"code": code.value, "message": code.message(language), "details": {}}
    assert error["message"].isascii() == (language == "en")
    assert reply.status == code.status


def test_errors_carry_what_the_table_of_codes_says() -> None:
    assert missing("event_name").body("zh").details == {"field": "event_name"}
    later = server_error(5, request_id="r")
    assert later.headers == ((b"retry-after", b"5"),)
    assert later.body("en").details == {"request_id": "r"}
    assert missing("event_name").under("events[3]").field == "events[3].event_name"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "zh"),
        ("fr", "zh"),
        ("en", "en"),
        ("EN-us", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en;q=0.8, zh;q=0.9", "zh"),
        ("zh;q=0.1,en;q=0.9", "en"),
        ("en;q=0", "zh"),
        ("en;q=abc", "zh"),
        ("*", "zh"),
        ("english", "zh"),
        ("en;q=nan,zh", "zh"),
    ],
)
def test_language(header: str, language: str) -> None:
    assert language_of(header.encode()) == language


def test_big_numbers_keep_their_digits() -> None:
    assert encode_json(Decimal("12345678901234567890.123")) == b"12345678901234567890.123"
