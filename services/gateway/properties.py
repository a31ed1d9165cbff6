"""Checks of `properties`: an object, not too deep, with nothing in it that a later stage would garble. Pure.

They are cheap because an event rarely gives reason to look closely: one typed decode accepts a flat object of ordinary
values and sends everything else the longer way. The `properties` object itself is the first level of nesting.
"""

import re
from typing import Annotated, Any, Final

import msgspec
import orjson

from pipeline.runtime.http.errors import Text, invalid
from schemas.events import EMPTY_OBJECT, MAX_PROPERTY_DEPTH
from services.gateway.fields import NOT_OBJECT, NOT_UTF8

_MIN_INT64: Final = -(1 << 63)
_MAX_INT64: Final = (1 << 63) - 1
_MAX_UINT64: Final = (1 << 64) - 1
_MANY_DIGITS: Final = re.compile(rb"[0-9]{19}")
_MAX_PATH_CHARACTERS: Final = 200
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_strings: Final = re.compile(_STRING + rb"(\s*+:)?", re.DOTALL).finditer

_RARE_BLANKS: Final = (b"\t", b"\n", b"\r")

TOO_NESTED: Final = Text(
    f"嵌套不能超过 {MAX_PROPERTY_DEPTH} 层", f"it is nested deeper than {MAX_PROPERTY_DEPTH} levels"
)
HAS_NUL: Final = Text("包含 NUL 字符（\\u0000）", "it holds a NUL character (\\u0000)")
TOO_WIDE: Final = Text("整数超出 64 位范围，请改用字符串", "it is an integer of more than 64 bits: send it as a string")
NO_NUMBER: Final = Text("数字超出双精度浮点数范围", "it holds a number beyond double precision")

Values = dict[str, Any]
_Int64 = Annotated[int, msgspec.Meta(ge=_MIN_INT64, le=_MAX_INT64)]
decode_flat: Final = msgspec.json.Decoder(dict[str, _Int64 | float | str | bool | None]).decode


def check_properties(given: msgspec.Raw, is_one_line: bool = False) -> tuple[msgspec.Raw, Values]:
    """Return the object as one line, and decoded. Raises `ApiError` on `properties` or on a path below it.

    `given` is valid JSON already, but for its texts, which may be no UTF-8.
    """
    try:
        values: Values = decode_flat(given)
    except msgspec.ValidationError:
        return _check_uncommon(bytes(given))
    except UnicodeDecodeError:
        raise invalid("properties", NOT_UTF8) from None
    except RecursionError:
        raise invalid("properties", TOO_NESTED) from None
    raw = bytes(given)
    if has_repeats(raw, values):
        return _last_of_each(values), values
    return given if is_one_line else one_line(given), values


def _last_of_each(values: Values) -> msgspec.Raw:
    """Keep the last value of each key: readers differ in which value of a key that stands twice they take. From here on
    there is one: the last, as parsers of JSON commonly take it.
    """
    return msgspec.Raw(orjson.dumps(values))


def has_repeats(raw: bytes, values: Any) -> bool:
    """Tell whether a key stands twice in an object of `raw`; `values`: the same, decoded."""
    keys = _count_keys(values)
    if has_only_keys(raw, keys):
        return False
    return sum(1 for found in _strings(raw) if found[1]) != keys


def has_only_keys(raw: bytes, keys: int) -> bool:
    """Tell whether `raw` holds at most so many keys, for certain. Each key is followed by a colon; so may a quote in a
    text be, which costs a closer look.
    """
    return raw.count(b'":') == keys and b" :" not in raw and not any(blank in raw for blank in _RARE_BLANKS)


def _count_keys(value: Any) -> int:
    """Count the keys of all objects in it, level by level."""
    count = 0
    containers: list[Any] = [value]
    while containers:
        count += sum(len(one) for one in containers if type(one) is dict)
        inner = (item.values() if type(item) is dict else item for item in containers)
        containers = [item for items in inner for item in items if type(item) in (dict, list)]
    return count


def one_line(given: msgspec.Raw) -> msgspec.Raw:
    """Return the same JSON without line breaks, which valid JSON has between its tokens alone."""
    raw = bytes(given)
    if b"\n" in raw or b"\r" in raw:
        return msgspec.Raw(msgspec.json.format(raw, indent=-1))
    return given


def _check_uncommon(raw: bytes) -> tuple[msgspec.Raw, Values]:
    """Check a value that is not an object, or one that holds others, or a number that is wide or has no value."""
    if raw in (b"null", b'""'):
        return EMPTY_OBJECT, {}
    if raw[0] != ord("{"):
        raise invalid("properties", NOT_OBJECT)
    try:
        values: Values = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid("properties", _no_value(raw, error)) from None
    if _is_deeper(values, MAX_PROPERTY_DEPTH):
        raise invalid("properties", TOO_NESTED)
    if _MANY_DIGITS.search(raw):
        # orjson makes floats of wide integers; msgspec keeps them.
        _refuse_wide(msgspec.json.decode(raw), "properties")
    return (_last_of_each(values) if has_repeats(raw, values) else one_line(msgspec.Raw(raw))), values


def _no_value(raw: bytes, error: orjson.JSONDecodeError) -> Text:
    """Return why valid JSON could not be decoded: its texts, its depth, or else a number such as 1e999."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return NOT_UTF8
    return TOO_NESTED if "depth" in str(error) else NO_NUMBER


def _is_deeper(value: Values, levels: int) -> bool:
    """Tell whether it is deeper, level by level: an object of thousands of small ones is checked in a moment."""
    containers: list[Any] = [value]
    for _ in range(levels):
        if not containers:
            return False
        inner = (item.values() if type(item) is dict else item for item in containers)
        containers = [item for items in inner for item in items if type(item) in (dict, list)]
    return bool(containers)


def _refuse_wide(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_wide(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_wide(item, f"{path}[{index}]")
    elif isinstance(value, int) and not _MIN_INT64 <= value <= _MAX_UINT64:
        raise invalid(path[:_MAX_PATH_CHARACTERS], TOO_WIDE)


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
