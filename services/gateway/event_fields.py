"""The event as callers send it, decoded leniently: unknown fields are skipped. Pure.

Unknown fields are tolerated so that a producer may send what a later version understands; they are not stored.
What belongs to the event goes into `properties`.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Final, NoReturn

import msgspec
import orjson

from schemas.errors import ErrorCode
from services.gateway.context import IncomingContext
from services.web.errors import ApiError, Text, invalid, missing

AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]
ABSENT: Final = msgspec.Raw(b"")


class IncomingEvent(msgspec.Struct, gc=False):
    """One event of a request, its types checked and nothing else. JSON `null` stands for an absent field; so does an
    empty text, which `decode_event` leaves out where the field is none of text."""

    event_name: str | None = None
    event_id: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    timestamp: AwareTime | None = None
    sent_at: AwareTime | None = None
    properties: msgspec.Raw = ABSENT
    context: IncomingContext | None = None


class OwnFieldsEvent(IncomingEvent, forbid_unknown_fields=True, gc=False):
    """An event without unknown fields."""


_decode: Final = msgspec.json.Decoder(IncomingEvent).decode
_PATH: Final = re.compile(r"`\$\.([^`]+)`$")
_TIMES: Final = frozenset(("timestamp", "sent_at"))
_OBJECTS: Final = frozenset(("context", "context.page", "context.campaign"))
_EMPTY: Final = b'""'
_decode_parts: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

NOT_UTF8: Final = Text("不是有效的 UTF-8 编码", "it is not valid UTF-8")
NOT_TEXT: Final = Text("必须是字符串", "it must be a string")
NOT_OBJECT: Final = Text("必须是 JSON 对象", "it must be a JSON object")
NOT_TIME: Final = Text(
    "必须是带时区的 RFC 3339 时间，例如 2024-01-15T10:30:00Z",
    "it must be an RFC 3339 time with a zone, such as 2024-01-15T10:30:00Z",
)
TOO_DEEP: Final = Text("JSON 嵌套层次过深", "its JSON is nested too deeply")


def decode_event(raw: bytes) -> IncomingEvent:
    """Decode the bytes of one JSON object into its fields; raises `ApiError` naming the first field that is wrong.

    What is skipped is not looked at closely: text that is no UTF-8 matters in a field we keep, and only there.
    """
    try:
        return _decode(raw)
    except UnicodeDecodeError:
        raise invalid("", NOT_UTF8) from None
    except msgspec.ValidationError as error:
        return _decode_without_empty(raw, error)
    except msgspec.DecodeError:
        raise invalid("", syntax_reason(raw)) from None
    except RecursionError:
        raise invalid("", TOO_DEEP) from None


def _decode_without_empty(raw: bytes, error: msgspec.ValidationError) -> IncomingEvent:
    """`raw` without its fields that are empty texts; `error`: why it was refused with them."""
    try:
        return _decode(_without_empty(raw, "context"))
    except msgspec.ValidationError as remaining:
        _raise_for_type(raw, remaining)
    except (msgspec.DecodeError, UnicodeDecodeError):
        _raise_for_type(raw, error)


def _without_empty(raw: bytes | msgspec.Raw, *inside: str) -> bytes:
    """The object without the fields that are empty texts, and so the objects named by `inside` and those in them. What
    is left stays as it was, byte for byte."""
    try:
        parts = _decode_parts(raw)
    except msgspec.ValidationError:
        return bytes(raw)
    kept = {name: value for name, value in parts.items() if bytes(value) != _EMPTY}
    for name in kept.keys() & set(inside):
        kept[name] = msgspec.Raw(_without_empty(kept[name], "page", "campaign"))
    return msgspec.json.encode(kept)


def _raise_for_type(raw: bytes, error: msgspec.ValidationError) -> NoReturn:
    path = _PATH.search(str(error))
    field = path[1] if path else ""
    if field == "event_name":
        raise ApiError(ErrorCode.INVALID_EVENT_NAME, field=field, value=_value_of(raw, field)) from None
    if field in _TIMES:
        raise invalid(field, NOT_TIME) from None
    raise invalid(field, NOT_OBJECT if not field or field in _OBJECTS else NOT_TEXT) from None


def _value_of(raw: bytes, field: str) -> Any:
    """Return the caller's value if it is a short one."""
    try:
        value = orjson.loads(raw)[field]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return value if isinstance(value, (bool, int, float)) else None


_CHINESE: Final = {
    "unexpected end of data": "内容不完整",
    "unexpected content after document": "末尾有多余内容",
    "unexpected control character in string": "字符串中有未转义的控制字符",
    "invalid escaped sequence in string": "字符串中有无效的转义",
    "no low surrogate in string": "字符串中有半个代理对（不完整的表情符号）",
    "invalid low surrogate in string": "字符串中有半个代理对（不完整的表情符号）",
    "invalid high surrogate in string": "字符串中有半个代理对（不完整的表情符号）",
    "unexpected character, expected a JSON value": "此处应为 JSON 值",
    "unexpected character, expected a string key": "此处应为字符串键",
    "unexpected character, expected ':' after key": "键之后应为冒号",
    "unexpected character, expected ',' or '}'": "此处应为逗号或右花括号",
    "unexpected character, expected ',' or ']'": "此处应为逗号或右方括号",
    "trailing comma is not allowed": "不允许多余的逗号",
    "number with leading zero is not allowed": "数字不能以零开头",
    "no digit after sign": "符号后缺少数字",
    "no digit after decimal point": "小数点后缺少数字",
    "number is infinity when parsed as double": "数字超出双精度浮点数范围",
    "str is not valid UTF-8: surrogates not allowed": "不是有效的 UTF-8 编码",
    "UTF-8 byte order mark (BOM) is not supported": "不支持 UTF-8 字节顺序标记（BOM）",
    "depth limit exceeded": "嵌套层次过深",
}
"""Parser's messages → the same in Chinese."""


def _in_chinese(words: str) -> str:
    return _CHINESE.get(words, "语法错误")


def syntax_reason(raw: bytes) -> Text:
    """Describe what is wrong with bytes that do not decode as JSON, and where."""
    if not raw.strip():
        return Text("内容为空", "it is empty")
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        place = f"第 {error.lineno} 行第 {error.colno} 列"
        return Text(f"JSON 格式错误：{_in_chinese(error.msg)}（{place}）", f"it is not valid JSON: {error}")
    return Text("JSON 格式错误", "it is not valid JSON")


def required(value: str | None, field: str) -> str:
    """Return `value`, or raise if it is absent, null or empty."""
    if not value:
        raise missing(field)
    return value
