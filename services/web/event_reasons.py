"""Reasons why events, or a body that should hold some, are refused: in both languages. Pure.

A refused event is stored with its error code and the English reason; `stored_reason` reads the reason back, to be
shown in the language of a reader.
"""

import re
from collections.abc import Callable
from typing import Final

from schemas.errors import ErrorCode
from schemas.events import MAX_BATCH_EVENTS, MAX_ID_CHARACTERS, MAX_PROPERTY_DEPTH
from services.web.errors import Text

MAX_FRAMES: Final = 1_000
"""Maximum number of frames of a compressed body: one in blocks, as some tools write it, has a hundred. Opening one
costs more than what a byte of it does.
"""

BODY_TOO_LARGE: Final = Text("请求体超出大小限制", "the body exceeds the limit")
BODY_TOO_SLOW: Final = Text("请求体未在 30 秒内到达", "the body did not arrive within 30 seconds")
UNKNOWN_CODING: Final = Text("只支持 gzip、deflate、br、zstd", "only gzip, deflate, br and zstd are supported")
BROKEN_CODING: Final = Text("压缩内容已损坏或不完整", "the compressed body is damaged or incomplete")
TOO_MANY_FRAMES: Final = Text(
    f"压缩内容的分段不能超过 {MAX_FRAMES} 个", f"the compressed body may have at most {MAX_FRAMES} frames"
)
INFLATES_TOO_LARGE: Final = Text("解压后超出大小限制", "it exceeds the limit after inflating")
NOT_LIST: Final = Text("必须是数组", "it must be an array")
TOO_MANY_EVENTS: Final = Text(
    f"每批不能超过 {MAX_BATCH_EVENTS} 个事件", f"a batch may have at most {MAX_BATCH_EVENTS} events"
)
COMMON_TOO_LARGE: Final = Text(
    "批次的公共字段过大：它们属于每一条消息", "the fields beside `batch` are too large: each message gets them"
)
EVENT_TOO_LARGE: Final = Text("单个事件不能超过 32 KB", "an event may have at most 32 KB")

EMPTY: Final = Text("内容为空", "it is empty")
NOT_JSON: Final = Text("JSON 格式错误", "it is not valid JSON")
NOT_UTF8: Final = Text("不是有效的 UTF-8 编码", "it is not valid UTF-8")
NOT_TEXT: Final = Text("必须是字符串", "it must be a string")
NOT_OBJECT: Final = Text("必须是 JSON 对象", "it must be a JSON object")
NOT_TIME: Final = Text(
    "必须是带时区的 RFC 3339 时间，例如 2024-01-15T10:30:00Z",
    "it must be an RFC 3339 time with a zone, such as 2024-01-15T10:30:00Z",
)
TOO_DEEP: Final = Text("JSON 嵌套层次过深", "its JSON is nested too deeply")
TOO_NESTED: Final = Text(
    f"嵌套不能超过 {MAX_PROPERTY_DEPTH} 层", f"it is nested deeper than {MAX_PROPERTY_DEPTH} levels"
)
HAS_NUL: Final = Text("包含 NUL 字符（\\u0000）", "it holds a NUL character (\\u0000)")
TOO_WIDE: Final = Text("整数超出 64 位范围，请改用字符串", "it is an integer of more than 64 bits: send it as a string")
NO_NUMBER: Final = Text("数字超出双精度浮点数范围", "it holds a number beyond double precision")

IS_PLACEHOLDER: Final = Text("是占位值，不能标识用户", "it is a placeholder and identifies nobody")
HAS_CONTROL: Final = Text("包含控制字符", "it holds control characters")
TOO_LONG: Final = Text(f"不能超过 {MAX_ID_CHARACTERS} 个字符", f"it is longer than {MAX_ID_CHARACTERS} characters")
NOT_EVENT_ID: Final = Text("必须是 1 到 64 个字母、数字或 _ . : -", "it must be 1 to 64 letters, digits or _ . : -")
NOT_ADDRESS: Final = Text("不是有效的 IP 地址", "it is not an IP address")
NOT_READABLE: Final = Text("必须在 1900 年到 2299 年之间", "it must be in the years 1900 to 2299")
IN_FUTURE: Final = Text("晚于当前时间 24 小时以上", "it is more than 24 hours in the future")


def too_old(days: int | str) -> Text:
    return Text(f"早于该应用的历史期限（{days} 天）", f"it is older than the app's history limit of {days} days")


_SYNTAX: Final = {
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


def not_json_at(problem: str, line: int | str, column: int | str, character: int | str) -> Text:
    """`problem`: the parser's message. Lines and columns count from 1, characters from 0."""
    chinese = _SYNTAX.get(problem, "语法错误")
    return Text(
        f"{NOT_JSON.zh}：{chinese}（第 {line} 行第 {column} 列）",
        f"{NOT_JSON.en}: {problem}: line {line} column {column} (char {character})",
    )


INVALID_ROW: Final = "INVALID_ROW"
"""Code of a row that the database refused; it is in no answer of the API."""
_CODES: Final = {code.value: Text(code.message("zh"), code.message("en")) for code in ErrorCode} | {
    INVALID_ROW: Text("数据库拒绝了该行", "the database refused the row")
}
"""The reason of an error that has none of its own."""
_CONSTANT: Final = {text.en: text for text in [*_CODES.values(), *globals().values()] if isinstance(text, Text)}
_WITH_VALUES: Final[tuple[tuple[re.Pattern[str], Callable[..., Text]], ...]] = (
    (re.compile(r"it is older than the app's history limit of (\d+) days"), too_old),
    (re.compile(r"it is not valid JSON: (.+): line (\d+) column (\d+) \(char (\d+)\)"), not_json_at),
)


def stored_reason(code: str, stored: str) -> Text:
    """Return the reason of a stored refusal. A text that is not known, such as a message of the database, is shown as
    it is; in Chinese the meaning of its code stands before it.
    """
    if stored in _CONSTANT:
        return _CONSTANT[stored]
    for pattern, make in _WITH_VALUES:
        if found := pattern.fullmatch(stored):
            return make(*found.groups())
    meaning = _CODES.get(code, Text(code, code))
    return Text(f"{meaning.zh}：{stored}", stored) if stored else meaning
