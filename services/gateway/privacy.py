"""Privacy: what an app leaves out of its events before they are written anywhere. Pure.

That is secrets in the addresses of pages, and part of the client's address.

A parameter is dropped with its value behind `?` or `#` (`#/item?token=…`), as a path's parameter (`;jsessionid=…`), and
inside an address that is another's parameter (`?next=https%3A%2F%2F…%3Ftoken%3D…`). Names are compared without case,
`_` and `-`, and decoded (`%65mail`); `user[email]` is an `email`. A user and password before the host go too. All other
text stays as it came.
"""

import re
from collections.abc import Sequence
from functools import lru_cache  # noqa: TID251 of settings
from ipaddress import ip_address, ip_network
from typing import Any, Final

import msgspec
import orjson

from pipeline.domain.channels.campaign_tags import is_tag_name
from pipeline.runtime.client_address import MAX_ADDRESS_CHARACTERS, address_of
from schemas.caches import cache_short_texts
from schemas.control import ClientAddress, PrivacySettings

_PREFIX_BITS: Final = {4: 24, 6: 48}
_ENCODED: Final = "%(?:25)*"
"""A percent sign, encoded any number of times."""
_NAME_CODE: Final = "(?:2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F)"
_ENCODED_NAME: Final = re.compile(_ENCODED + _NAME_CODE, re.IGNORECASE)
"""A character that names are made of, encoded, as no usual sender does: only then is the costlier pattern needed."""
_ENCODED_ANY: Final = re.compile("%")
_NOTHING: Final = re.compile(r"(?!)(?P<user>)(?P<first>)")
_AT_ONCE_BYTES: Final = 256 * 1024
_AT_ONCE_TEXTS: Final = 8
"""Texts are joined and looked at together up to so many bytes, else so many: one call in C, which nothing interrupts,
takes 5 ms at most for events of 32 KB."""
_CODED_PERCENT: Final = b"%25"
_MOST_CODINGS: Final = 3
"""Times that a text may be percent-encoded beyond the first; of one with more, `may_drop` is not certain."""
_CODED_SEPARATORS: Final = (b"%26", b"%23", b"%3F", b"%3f", b"%5B", b"%5b")
_CODED_NAME: Final = re.compile(f"%{_NAME_CODE}".encode(), re.IGNORECASE)
_CODED_ANY: Final = re.compile(f"%(?:{_NAME_CODE}|2[36]|3F|5[BD])".encode(), re.IGNORECASE)
_CODED_BRACKETS: Final = (b"%5D", b"%5d")
_CODED_SIGNS: Final = (b"%3D", b"%3d")
_COMPARED: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ?#/&;[", b"abcdefghijklmnopqrstuvwxyz======")
"""Letters without their case, and equals signs for what separates parameters."""
_NOT_COMPARED: Final = b"_-]"
_SIGN: Final = b"\x00"
"""Stands for the equals sign behind a name."""
_LONGEST_ENDS: Final = len("%5B") + len("%5D")
"""Bytes that may stand before a name, for its separator, and between it and its equals sign."""
_LONGEST_LETTER: Final = len(r"\u017f")
"""Bytes of a name's first letter. Of a name with more such letters, another is nearer."""
_FOLDED: Final = tuple(letter.encode() for letter in ("ſ", "\u212a", "ı", "İ"))
"""The letters beside ASCII's that are `s`, `k` and `i` without regard to case."""
_ESCAPED_FOLDED: Final = re.compile(rb"\\u(?:017f|212a|013[01])", re.IGNORECASE)
"""How JSON may write them."""
_ESCAPES: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\(?:u([0-9A-Fa-f]{4})|/)")
_MARKS_OR_ONE: Final = re.compile(r"[_-]+|.", re.DOTALL)
_JSON_ADDRESS: Final = re.compile(r'("ip"\s*:\s*)"((?:[^"\\]|\\.)*)"?')


class Privacy:
    """The settings of an app, made ready for use."""

    def __init__(self, settings: PrivacySettings) -> None:
        names = [name for name in settings.dropped_parameters if not is_tag_name(name)]
        self.drops_parameters = bool(names)
        self._names = frozenset(name.encode().translate(_COMPARED, _NOT_COMPARED) + _SIGN for name in names)
        self._are_plain = all(map(str.isascii, names))
        self._reach = max(map(len, names), default=0) - 1 + _LONGEST_LETTER + _LONGEST_ENDS
        self._in_address = _pattern(names, is_json=False)
        self._encoded_in_address = _pattern(names, is_json=False, is_encoded=True)
        self._in_json = _pattern(names, is_json=True, is_encoded=True)
        self._may_be_encoded = _ENCODED_NAME if "".join(names).isascii() else _ENCODED_ANY
        self._client_address = settings.client_address

    def address(self, given: str) -> str:
        """The client's address as it may be stored. `given`: an address in its usual form, or empty."""
        if self._client_address is ClientAddress.WHOLE:
            return given
        return _shortened(given) if given and self._client_address is ClientAddress.SHORTENED else ""

    def may_drop(self, text: bytes) -> bool:
        """Tell whether an address, or JSON, may hold what is dropped. False is certain, and takes little to find out:
        only what stands before equals signs is looked at."""
        if not self.drops_parameters:
            return False
        # One byte is found in no time, four are not.
        if b"@" in text or (b"\\" in text and b"\\u00" in text):
            return True
        if b"%" in text:
            if _CODED_PERCENT in text:
                text = _replaced(text, (_CODED_PERCENT,) * _MOST_CODINGS, b"%")
                if _CODED_PERCENT in text:
                    return True
            text = _replaced(text, _CODED_SIGNS, b"=")
        return b"=" in text and self._has_name(_before_signs(text, self._reach))

    def may_drop_any(self, texts: Sequence[bytes | msgspec.Raw]) -> bool:
        """Tell whether one of these may hold what is dropped, each an event's of 32 KB at most."""
        if not texts or not self.drops_parameters:
            return False
        count = len(texts) if sum(map(len, texts)) <= _AT_ONCE_BYTES else _AT_ONCE_TEXTS
        return any(self.may_drop(b"".join(texts[at : at + count])) for at in range(0, len(texts), count))

    def _has_name(self, text: bytes) -> bool:
        if not self._are_plain or _has_folded(text):
            return True
        if b"%" in text and _CODED_ANY.search(text):
            if _CODED_NAME.search(text):
                return True
            text = _replaced(_replaced(text, _CODED_SEPARATORS, b"="), _CODED_BRACKETS, b"")
        return not self._names.isdisjoint(text.translate(_COMPARED, _NOT_COMPARED).split(b"="))

    def url(self, given: str) -> str:
        """An address of a page without what is dropped; any other text that holds none stays the same."""
        if not self.may_drop(given.encode()):
            return given
        is_encoded = "%" in given and self._may_be_encoded.search(given)
        return (self._encoded_in_address if is_encoded else self._in_address).sub(_replacement, given)

    def properties(self, raw: msgspec.Raw) -> msgspec.Raw:
        """`raw` with every text in it looked at as an address; the same bytes if there is nothing to drop."""
        text = bytes(raw)
        if not self.may_drop(text):
            return raw
        values = orjson.loads(text)
        cleaned = self._cleaned(values)
        return raw if cleaned == values else msgspec.Raw(orjson.dumps(cleaned))

    def payload(self, text: str) -> str:
        """JSON that was refused, perhaps because it is none, without what would be dropped from an event."""
        if self.drops_parameters:
            text = self._in_json.sub(_replacement, _ESCAPES.sub(_unescaped, text))
        if self._client_address is ClientAddress.WHOLE:
            return text
        return _JSON_ADDRESS.sub(lambda found: f'{found[1]}"{self.address(address_of(found[2]) or "")}"', text)

    def _cleaned(self, value: Any) -> Any:
        """The value with every text in it as `url` returns it. It is as deep as properties may be."""
        if type(value) is str:
            return self.url(value)
        if type(value) is dict:
            return {key: self._cleaned(item) for key, item in value.items()}
        return [self._cleaned(item) for item in value] if type(value) is list else value


@lru_cache(maxsize=256)
def privacy_of(settings: PrivacySettings) -> Privacy:
    return Privacy(settings)


@cache_short_texts(8_192, MAX_ADDRESS_CHARACTERS)
def _shortened(address: str) -> str:
    return str(ip_network(f"{address}/{_PREFIX_BITS[ip_address(address).version]}", strict=False).network_address)


def _before_signs(text: bytes, reach: int) -> bytes:
    """Return the `reach` bytes before each equals sign, or what there is of them, with a `_SIGN` each."""
    parts = [part[-reach:] for part in text.split(b"=")]
    parts[-1] = b""
    return (_SIGN + b"=").join(parts)


def _has_folded(text: bytes) -> bool:
    if not text.isascii() and any(one in text for one in _FOLDED):
        return True
    return b"\\u" in text and _ESCAPED_FOLDED.search(text) is not None


def _replaced(text: bytes, codes: tuple[bytes, ...], by: bytes) -> bytes:
    """Return the text with all codes replaced; a tenth of what a pattern takes where there are many."""
    for code in codes:
        text = text.replace(code, by)
    return text


def _pattern(names: list[str], *, is_json: bool, is_encoded: bool = False) -> re.Pattern[str]:
    """Return the pattern of what is dropped from a text, or from the JSON of one, in which a text ends at its quote.

    `first`: the separator before a run of parameters that are dropped, which stays if another follows them.
    `is_encoded`: characters of names may be percent-encoded.
    """
    if not names:
        return _NOTHING
    end, escape = ('"\\\\', r"|\\.") if is_json else ("", "")
    name = "(?:" + "|".join(_name_pattern(name, is_encoded) for name in names) + ")"
    key = rf"(?:[^?&#;={end}]*(?:\[|%5B))?{name}(?:\]|%5D)?"
    value = rf"(?:[^&#?{end}]|\?(?![\w.-]+=){escape})*"
    plain = rf"(?P<first>\?|#/?|&(?:amp;)*)(?:{key}={value}(?:&(?:amp;)*)?)+"
    in_path = rf";{name}=[^?&#/;{end}]*"
    inner_key = rf"(?:[\w.-]*{_ENCODED}5B)?{name}(?:{_ENCODED}5D)?"
    inner_value = rf"(?:(?!{_ENCODED}(?:26|23))[^&#{end}])*"
    inner = rf"(?P<inner>{_ENCODED}(?:3F|26|23))(?:{inner_key}{_ENCODED}3D{inner_value}(?:{_ENCODED}26)?)+"
    user = rf"(?P<user>://)[^/?#\s{end}]*@"
    return re.compile("|".join((plain, in_path, inner, user)), re.IGNORECASE)


def _replacement(found: re.Match[str]) -> str:
    if found["user"]:
        return found["user"]
    goes_on = found[0].lower().endswith(("&", "&amp;", "26"))
    return (found["first"] or found["inner"] or "") if goes_on else ""


def _name_pattern(name: str, is_encoded: bool) -> str:
    """Return the pattern of a name, without regard to case.

    It must match each character in one way only: with two ways, a text that does not match costs 2^characters steps.
    """
    form = _any_form if is_encoded else re.escape
    mark = f"(?:[_-]|{_ENCODED}(?:5F|2D))" if is_encoded else "[_-]"
    parts = _MARKS_OR_ONE.findall(name)
    return "".join(f"{mark}{{0,{len(part)}}}" if part[0] in "_-" else form(part) for part in parts)


def _any_form(character: str) -> str:
    """Return the pattern of a character of a name, as it is or percent-encoded: `e` is also `%65` and `%45`."""
    forms = {_encoded(character.lower()), _encoded(character.upper())}
    return "(?:" + "|".join([re.escape(character), *sorted(forms)]) + ")"


def _encoded(text: str) -> str:
    return "".join(f"{_ENCODED}{byte:02X}" for byte in text.encode())


def _unescaped(found: re.Match[str]) -> str:
    """The character that JSON has escaped; those that would change how the rest is read stay as they are."""
    character = chr(int(found[2], 16)) if found[2] else "/"
    return found[1] + character if character.isprintable() and character not in '"\\' else found[0]


KEEP_ALL: Final = Privacy(PrivacySettings((), ClientAddress.WHOLE))
