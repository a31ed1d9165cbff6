"""The checks on `properties`: an object, not too deep, with nothing in it that a later stage would garble. Pure.

They are cheap because an event rarely gives reason to look closely: bytes with at most eight brackets cannot be
nested deeper, bytes without the escape of NUL hold none, and a number past 64 bits shows as an enormous float.
The `properties` object itself is the first level of nesting.
"""

from typing import Any, Final, NamedTuple

import msgspec
import orjson

from pipeline.runtime.http.errors import Text, invalid
from schemas.events import EMPTY_OBJECT, MAX_PROPERTY_DEPTH
from services.gateway.fields import NOT_OBJECT

_MIN_INT64: Final = -(1 << 63)
_MAX_UINT64: Final = (1 << 64) - 1
_MAX_PATH_CHARACTERS: Final = 200
_WIDE: Final = float(1 << 63)

TOO_NESTED: Final = Text(
    f"嵌套不能超过 {MAX_PROPERTY_DEPTH} 层", f"it is nested deeper than {MAX_PROPERTY_DEPTH} levels"
)
HAS_NUL: Final = Text("包含 NUL 字符（\\u0000）", "it holds a NUL character (\\u0000)")
TOO_WIDE: Final = Text("整数超出 64 位范围，请改用字符串", "it is an integer of more than 64 bits: send it as a string")
NO_NUMBER: Final = Text("数字超出双精度浮点数范围", "it holds a number beyond double precision")


class Properties(NamedTuple):
    raw: msgspec.Raw
    """One line, as the caller wrote it."""
    values: dict[str, Any]


_NONE: Final = Properties(EMPTY_OBJECT, {})


def check_properties(given: msgspec.Raw) -> Properties:
    """Raises `ApiError` on `properties` or on a path below it. `given` is valid JSON already, or empty."""
    raw = bytes(given)
    if not raw or raw == b"null":
        return _NONE
    if raw[0] != 0x7B:
        raise invalid("properties", NOT_OBJECT)
    values = _values(raw)
    if raw.count(b"{") + raw.count(b"[") > MAX_PROPERTY_DEPTH and _is_deeper(values, MAX_PROPERTY_DEPTH):
        raise invalid("properties", TOO_NESTED)
    if _may_be_wide(values):
        _refuse_wide(msgspec.json.decode(raw), "properties")
    if b"\n" in raw or b"\r" in raw:
        raw = msgspec.json.format(raw, indent=-1)
    return Properties(msgspec.Raw(raw), values)


def refuse_nul(value: Any, path: str) -> None:
    """Raise for the first string, key or value, that holds a NUL: texts with one break readers further on."""
    if isinstance(value, dict):
        for key, item in value.items():
            if "\x00" in key:
                raise invalid(path[:_MAX_PATH_CHARACTERS], HAS_NUL)
            refuse_nul(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            refuse_nul(item, f"{path}[{index}]")
    elif isinstance(value, str) and "\x00" in value:
        raise invalid(path[:_MAX_PATH_CHARACTERS], HAS_NUL)


def _values(raw: bytes) -> dict[str, Any]:
    try:
        values: dict[str, Any] = orjson.loads(raw)
    except orjson.JSONDecodeError:
        # Valid JSON that has no value here: a number such as 1e999.
        raise invalid("properties", NO_NUMBER) from None
    return values


def _is_deeper(value: Any, levels: int) -> bool:
    if levels == 0:
        return True
    items = value.values() if type(value) is dict else value
    return any(type(item) in (dict, list) and _is_deeper(item, levels - 1) for item in items)


def _may_be_wide(values: Any) -> bool:
    for value in values.values() if type(values) is dict else values:
        kind = type(value)
        if kind is float:
            if not -_WIDE < value < _WIDE:
                return True
        elif (kind is dict or kind is list) and _may_be_wide(value):
            return True
    return False


def _refuse_wide(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_wide(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_wide(item, f"{path}[{index}]")
    elif isinstance(value, int) and not _MIN_INT64 <= value <= _MAX_UINT64:
        raise invalid(path[:_MAX_PATH_CHARACTERS], TOO_WIDE)
