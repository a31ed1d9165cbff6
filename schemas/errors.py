"""The error codes of the HTTP contract: status and message of each, in both languages.

Clients program against `code`; messages are for people and follow `Accept-Language` (Chinese by default, as
the API document is).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ErrorCode(StrEnum):
    INVALID_API_KEY = "INVALID_API_KEY"
    FORBIDDEN = "FORBIDDEN"
    MISSING_REQUIRED_FIELD = "MISSING_REQUIRED_FIELD"
    INVALID_EVENT_NAME = "INVALID_EVENT_NAME"
    INVALID_PARAMETER = "INVALID_PARAMETER"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    SERVER_ERROR = "SERVER_ERROR"

    @property
    def status(self) -> int:
        return _SPECS[self].status

    def message(self, language: str) -> str:
        """`language`: `zh` or `en`."""
        spec = _SPECS[self]
        return spec.english if language == "en" else spec.chinese


@dataclass(frozen=True)
class _ErrorSpec:
    status: int
    chinese: str
    english: str


_SPECS: Final[dict[ErrorCode, _ErrorSpec]] = {
    ErrorCode.INVALID_API_KEY: _ErrorSpec(401, "API Key 无效", "The API key is not valid"),
    ErrorCode.FORBIDDEN: _ErrorSpec(403, "API Key 没有所需的权限", "The API key lacks the required scope"),
    ErrorCode.MISSING_REQUIRED_FIELD: _ErrorSpec(400, "缺少必填字段", "A required field is missing"),
    ErrorCode.INVALID_EVENT_NAME: _ErrorSpec(
        400, "事件名称无效，请使用 snake_case", "The event name is invalid; use snake_case"
    ),
    ErrorCode.INVALID_PARAMETER: _ErrorSpec(400, "请求参数错误", "A parameter is invalid"),
    ErrorCode.PAYLOAD_TOO_LARGE: _ErrorSpec(400, "请求内容超出大小限制", "The payload exceeds a limit"),
    ErrorCode.NOT_FOUND: _ErrorSpec(404, "资源不存在", "There is no such resource"),
    ErrorCode.METHOD_NOT_ALLOWED: _ErrorSpec(405, "不支持该请求方法", "The method is not allowed here"),
    ErrorCode.RATE_LIMIT_EXCEEDED: _ErrorSpec(
        429, "超出限流，请减少请求频率或升级套餐", "The plan's request limit is used up"
    ),
    ErrorCode.SERVER_ERROR: _ErrorSpec(500, "服务器错误，请稍后重试", "Something failed on our side; retry later"),
}


class WarningCode(StrEnum):
    """Codes of the warnings about an event that is accepted all the same."""

    UNKNOWN_FIELD = "UNKNOWN_FIELD"
    NO_PERSON = "NO_PERSON"
    MAY_BE_LATE = "MAY_BE_LATE"
    NO_ORDER = "NO_ORDER"
    UNREADABLE_VALUE = "UNREADABLE_VALUE"
    UNREADABLE_CURRENCY = "UNREADABLE_CURRENCY"
    UNKNOWN_VALUE_PROPERTY = "UNKNOWN_VALUE_PROPERTY"
    BOT = "BOT"

    def message(self, language: str) -> str:
        """`language`: `zh` or `en`. `{field}` stands for the field."""
        chinese, english = _WARNINGS[self]
        return english if language == "en" else chinese


_WARNINGS: Final[dict[WarningCode, tuple[str, str]]] = {
    WarningCode.UNKNOWN_FIELD: ("未知字段 {field}，不会保存", "the field {field} is not known and not stored"),
    WarningCode.NO_PERSON: (
        "既没有 user_id 也没有 anonymous_id，不会计入会话、转化和归因",
        "there is neither user_id nor anonymous_id: it counts for no session, conversion or credit",
    ),
    WarningCode.MAY_BE_LATE: (
        "{field} 早于允许的延迟，若该用户此后的数据已定，则不计入会话和归因",
        "{field} is before the allowed lateness: where later data of its person is final, it counts for nothing",
    ),
    WarningCode.NO_ORDER: (
        "退款没有 {field}，找不到对应的订单",
        "the refund has no {field}: no order can be found for it",
    ),
    WarningCode.UNREADABLE_VALUE: (
        "{field} 不是可用的金额，该事件的金额未知",
        "{field} cannot be read as an amount: the value of the event is not known",
    ),
    WarningCode.UNREADABLE_CURRENCY: (
        "{field} 不是 ISO 4217 币种代码，该事件的金额未知",
        "{field} is no ISO 4217 code: the value of the event is not known",
    ),
    WarningCode.UNKNOWN_VALUE_PROPERTY: (
        "目标不读取 {field}，该事件没有金额",
        "no goal reads {field}, and the event has no value",
    ),
    WarningCode.BOT: (
        "{field} 是机器人，报表默认不计入该事件",
        "{field} is a bot's: reports leave the event out, unless they are asked with include_bots=true",
    ),
}
