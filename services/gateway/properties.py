"""Checks of `properties`: an object, not too deep, with nothing in it that a later stage would garble. Pure.

They are cheap because an event rarely gives reason to look closely: one typed decode accepts a flat object of ordinary
values and sends everything else the longer way. The `properties` object itself is the first level of nesting.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
import orjson

from schemas.events import EMPTY_OBJECT, MAX_PROPERTY_DEPTH
from services.gateway.context import PROPERTIES
from services.web.errors import Text, invalid
from services.web.event_reasons import HAS_NUL, NO_NUMBER, NOT_OBJECT, NOT_UTF8, TOO_NESTED, TOO_WIDE

_MIN_INT64: Final = -(1 << 63)
_MAX_INT64: Final = (1 << 63) - 1
_MAX_UINT64: Final = (1 << 64) - 1
_MANY_DIGITS: Final = re.compile(rb"[0-9]{19}")
_MAX_PATH_CHARACTERS: Final = 200
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_colons: Final = re.compile(_STRING + rb"(\s*+:)?", re.DOTALL).findall
"""The character behind each text: a colon behind keys, nothing behind others."""

_RARE_BLANKS: Final = (b"\t", b"\n", b"\r")

Values = dict[str, Any]
_Int64 = Annotated[int, msgspec.Meta(ge=_MIN_INT64, le=_MAX_INT64)]
_Scalar: Final[Any] = _Int64 | float | str | bool | None
decode_flat: Final = msgspec.json.Decoder(dict[str, _Scalar]).decode


def _nested(levels: int) -> Any:
    """The type of a value with up to `levels` levels of objects and arrays: a decoder checks it in one pass."""
    inner = _nested(levels - 1) if levels > 1 else _Scalar
    return _Scalar | list[inner] | dict[str, inner]  # type: ignore[valid-type]


_decode_nested: Final = msgspec.json.Decoder(dict[str, _nested(MAX_PROPERTY_DEPTH - 1)]).decode  # type: ignore[misc]


def check_properties(given: msgspec.Raw, is_one_line: bool = False) -> tuple[msgspec.Raw, Values]:
    """Return the object as one line, and decoded, of a nested one the context's `PROPERTIES` alone.

    Raises `ApiError` on `properties` or on a path below it.

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
    if has_only_keys(raw, len(values)):
        return given, values
    if has_repeats(raw, values):
        return _last_of_each(values), values
    return given if is_one_line else one_line(given), values


def _last_of_each(values: Values) -> msgspec.Raw:
    """Keep the last value of each key: readers differ in which value of a key that stands twice they take. From here on
    there is one: the last, as parsers of JSON commonly take it.
    """
    return msgspec.Raw(orjson.dumps(values))


def has_repeats(raw: bytes, values: Any) -> bool:
    """Tell whether a key stands twice in an object of `raw`; `values`: the same, decoded, where each stands once."""
    again = orjson.dumps(values)
    # A quote or a colon may be escaped in `raw`, and then makes one more `":` when it is encoded again.
    if b"\\u0022" not in raw and b"\\u003" not in raw and has_only_keys(raw, again.count(b'":')):
        return False
    return _count_keys(raw) != _count_keys(again)


def has_only_keys(raw: bytes, keys: int) -> bool:
    """Tell whether `raw` holds at most so many keys, for certain. Each key is followed by a colon; so may a quote in a
    text be, which costs a closer look.
    """
    return raw.count(b'":') == keys and b" :" not in raw and not any(blank in raw for blank in _RARE_BLANKS)


def _count_keys(raw: bytes) -> int:
    """Count the keys of all objects in it."""
    return sum(map(bool, _colons(raw)))


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
        values: Values = _decode_nested(raw)
    except (msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        values = _check_odd(raw)
    one = _last_of_each(values) if has_repeats(raw, values) else one_line(msgspec.Raw(raw))
    # A batch can hold millions of values in small objects: what is read of them later is kept, and no more.
    return one, {name: values[name] for name in PROPERTIES if name in values}


def _check_odd(raw: bytes) -> Values:
    """Too deep; or with a number that is wide or has no value, or text that is no UTF-8."""
    try:
        values: Values = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid("properties", _no_value(raw, error)) from None
    if _is_deeper(values, MAX_PROPERTY_DEPTH):
        raise invalid("properties", TOO_NESTED)
    if _MANY_DIGITS.search(raw):
        # orjson makes floats of wide integers; msgspec keeps them.
        _refuse_wide(msgspec.json.decode(raw), "properties")
    return values


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
    _refuse_first(value, path, _is_wide, TOO_WIDE)


def _is_wide(value: Any) -> bool:
    return isinstance(value, int) and not _MIN_INT64 <= value <= _MAX_UINT64


def refuse_nul(value: Any, path: str) -> None:
    """Raise for the first string, key or value, that holds a NUL: texts with one break readers further on."""
    _refuse_first(value, path, _has_nul, HAS_NUL)


def _has_nul(value: Any) -> bool:
    return isinstance(value, str) and "\x00" in value


def _refuse_first(value: Any, path: str, is_bad: Callable[[Any], bool], reason: Text) -> None:
    """Raise for the first key or value that is bad. Its path is put together only then."""
    steps = _steps_to(value, is_bad)
    if steps is not None:
        raise invalid((path + "".join(reversed(steps)))[:_MAX_PATH_CHARACTERS], reason)


def _steps_to(value: Any, is_bad: Callable[[Any], bool]) -> list[str] | None:
    """The way to it from the innermost step outwards; None: there is none. To a key it is that of its object."""
    if isinstance(value, dict):
        for key, item in value.items():
            if is_bad(key):
                return []
            if (steps := _steps_to(item, is_bad)) is not None:
                return [*steps, f".{key}"]
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if (steps := _steps_to(item, is_bad)) is not None:
                return [*steps, f"[{index}]"]
    elif is_bad(value):
        return []
    return None
