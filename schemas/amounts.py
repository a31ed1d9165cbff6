"""Amounts and currencies as senders write them, read in one way everywhere. Pure.

What is given but cannot be read is a problem, never a missing value: it is told at the door, and no number is made of
it. What is absent, null or an empty text is missing. SEMANTICS.md ("Money and currencies") has the rules for readers.

An amount may be a number, or a text: digits with a decimal point, and with thousands and a mark of its currency where
there is one meaning. A mark does not decide between several currencies: `¥` is read in the event's currency, else the
app's, if it is one of those.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple

from schemas.currencies import currencies_of_mark, plain, read_currency
from schemas.money import from_minor, minor_digits, to_minor

CURRENCY: Final = "currency"
"""The property that names the currency of an event's amounts."""
_MAX_CHARACTERS: Final = 60
_MAX_WHOLE: Final = 10**18
_DECIMAL: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?\Z", re.ASCII)
_MARKED: Final = re.compile(
    r"(?P<sign>[-+−]?)\s*(?P<before>[^\d\s.,'’+\-−]{0,6})\s*(?P<inner>-?)(?P<number>\d(?:[\d.,'’ ]*\d)?)"
    r"\s*(?P<after>[^\d\s.,'’+\-−]{0,6})\Z",
    re.ASCII,
)
_GROUPED: Final = tuple(
    map(
        re.compile,
        (
            r"([1-9]\d{0,2}(?:,\d{3})+)(\.\d+)?\Z",
            r"([1-9]\d{0,2}(?:\.\d{3}){2,})(,\d+)?\Z",
            r"([1-9]\d{0,2}(?:\.\d{3})+)(,\d+)\Z",
            r"([1-9]\d{0,2}(?: \d{3})+)([.,]\d+)?\Z",
            r"([1-9]\d{0,2}(?:['’]\d{3})+)([.,]\d+)?\Z",
            r"([1-9]\d?(?:,\d{2})+,\d{3})(\.\d+)?\Z",  # lakhs
        ),
    )
)
"""(whole part with thousands, decimal part)"""
_DECIMAL_COMMA: Final = re.compile(r"\d{1,18},\d{1,2}\Z")
_ONE_GROUP: Final = re.compile(r"[1-9]\d{0,2}[.,]\d{3}\Z")
"""With a point a decimal or thousands, with a comma thousands or a decimal."""


class ValueIssue(StrEnum):
    """Reasons why an event that names a value has none that is known."""

    CURRENCY = "unreadable_currency"
    AMOUNT = "unreadable_value"
    NEGATIVE = "negative_value"


class Problem(NamedTuple):
    """`field`: the property at fault."""

    issue: ValueIssue
    field: str


class Money(NamedTuple):
    """`amount`: a decimal number as text; empty: none is given, or none that can be read, and `problems` says so.
    `currency`: the one given, or named by the amount's mark; empty: neither is. `field`: the property of the amount."""

    amount: str
    currency: str
    field: str = ""
    problems: tuple[Problem, ...] = ()


def read_money(properties: Mapping[str, Any], names: Sequence[str], own_currency: str) -> Money:
    """The first of the properties `names` that can be read as an amount, with its currency.

    `own_currency`: of the app, for marks of several meanings.
    """
    named = properties.get(CURRENCY)
    currency = _currency_of(named) if is_given(named) else ""
    problems: tuple[Problem, ...] = (Problem(ValueIssue.CURRENCY, CURRENCY),) if currency is None else ()
    given = [name for name in names if is_given(properties.get(name))]
    for name in given:
        found = read_amount(properties[name], currency or "", own_currency)
        if found is not None:
            return Money(*found, name, problems)
    if given:
        problems += (Problem(ValueIssue.AMOUNT, given[0]),)
    return Money("", currency or "", problems=problems)


def read_value(properties: Mapping[str, Any], names: Sequence[str], own_currency: str) -> tuple[int, str, str]:
    """Read an event's value: (smallest units, currency, issue). With an issue (a `ValueIssue`) the value is not known,
    and the units are 0; the currency then is the event's where it can be read, else the app's.
    """
    money = read_money(properties, names, own_currency)
    currency = money.currency or own_currency
    problems = value_problems(money, own_currency)
    if problems:
        return 0, currency, problems[0].issue.value
    return (to_minor(money.amount, currency) or 0) if money.amount else 0, currency, ""


def value_problems(money: Money, own_currency: str) -> tuple[Problem, ...]:
    """List the problems of an event's value: it must not be negative, and not absurdly large."""
    if money.problems or not money.amount:
        return money.problems
    minor = to_minor(money.amount, money.currency or own_currency)
    if minor is not None and minor >= 0:
        return ()
    return (Problem(ValueIssue.AMOUNT if minor is None else ValueIssue.NEGATIVE, money.field),)


def shown_value(value_minor: int, currency: str, issue: str) -> tuple[Decimal | None, str | None]:
    """(value in whole units, currency) as answers and messages show them; None: not known."""
    is_currency_known = issue != ValueIssue.CURRENCY
    return None if issue else from_minor(value_minor, currency), currency if currency and is_currency_known else None


def is_given(value: object) -> bool:
    return not (value is None or (isinstance(value, str) and not value.strip()))


def is_amount(value: object) -> bool:
    """Tell whether it can be read as an amount of some currency."""
    return read_amount(value, "", "") is not None


def _currency_of(named: object) -> str | None:
    return read_currency(named) if isinstance(named, str) else None


def read_amount(given: object, currency: str, own_currency: str) -> tuple[str, str] | None:
    """(a decimal number as text, its currency); None: it cannot be read.

    `currency`: what the event names; empty: nothing, and then the amount's own mark names it, where it has one.
    """
    if isinstance(given, str):
        return _read_text(given, currency, own_currency)
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return (str(given), currency) if abs(given) <= _MAX_WHOLE else None


def _read_text(text: str, currency: str, own_currency: str) -> tuple[str, str] | None:
    if len(text) > _MAX_CHARACTERS:
        return None
    given = plain(text)
    if _DECIMAL.match(given) and not _ONE_GROUP.match(given.removeprefix("-")):
        return given, currency
    found = _MARKED.match(given)
    if found is None or (found["before"] and found["after"]) or (found["sign"] and found["inner"]):
        return None
    mark = found["before"] or found["after"]
    if mark:
        marked = _meant(currencies_of_mark(mark), currency, own_currency)
        if marked is None:
            return None
        currency = marked
    number = _read_number(found["number"], minor_digits(currency or own_currency))
    if number is None:
        return None
    is_negative = found["inner"] or found["sign"] in ("-", "−")
    return ("-" + number if is_negative else number), currency


def _meant(possible: frozenset[str], currency: str, own_currency: str) -> str | None:
    if currency:
        return currency if currency in possible else None
    if len(possible) == 1:
        return next(iter(possible))
    return own_currency if own_currency in possible else None


def _read_number(text: str, digits: int) -> str | None:
    """`digits`: of the currency after the point; with three, one group of three digits may be either."""
    if _ONE_GROUP.match(text):
        if "." in text:
            return text if digits == 3 else None  # 1.299: a decimal, or 1299 as much of Europe writes it
        return text.replace(",", "") if digits != 3 else None
    if _DECIMAL.match(text):
        return text
    if _DECIMAL_COMMA.match(text):
        return text.replace(",", ".")
    found = next(filter(None, (pattern.match(text) for pattern in _GROUPED)), None)
    if found is None:
        return None
    return "".join(filter(str.isdigit, found[1])) + (found[2] or "").replace(",", ".")
