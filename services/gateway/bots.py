"""Recognise the user agents of bots. Pure.

A bot's events are kept and marked, never dropped. An agent is a bot's if it bears one of a few general marks, or a name
of crawlerdetect's list. That list is one expression of 1,400 alternatives, whose cost grows with the square of the text
(`make bench ARGS=agents`). So it is read by the first three characters of its names here: the answers are the
library's, and the cost grows no faster than the text.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache  # noqa: TID251 of agents that are cut
from typing import Final

from crawlerdetect.providers import crawlers, exclusions

MAX_USER_AGENT_CHARACTERS: Final = 1_024
"""Maximum length; longer ones are cut: no browser's is half as long."""
_LOOKED_AT: Final = 512
"""Characters that are searched for names."""
_REMEMBERED: Final = 4_096
"""Agents whose answer is kept: 17 MB at most, in the widest characters."""

_MARKS: Final = (
    "google-",
    "http://",
    "https://",
    "mediapartners",
    "phantomjs",
    "playwright",
    "ptst/",
    "puppeteer",
    "selenium",
    "synthetic",
)
"""Marks of crawlers the library does not list: an address to complain to, and tools that drive browsers."""
_FREE_BEGINNING: Final = re.compile(r"^\[[^\]]*\]\*")
"""Prefix that is cut off an expression: searched for, `[…]*` in front changes no answer and takes quadratic time."""
_BEGINNING: Final = re.compile(r"(?:[\w !&':-]|\\[^\w])*(?![*?+{])")
"""The characters an expression begins with, whatever comes."""
_WORDS: Final = re.compile(r"\(([\w|]+)\)")
"""An expression that is a list of words."""


def _each(expressions: Iterable[str]) -> Iterator[str]:
    for expression in expressions:
        expression = _FREE_BEGINNING.sub("", expression)
        words = _WORDS.fullmatch(expression)
        yield from words[1].split("|") if words else [expression]


def _by_beginning(expressions: Iterable[str]) -> tuple[dict[str, re.Pattern[str]], re.Pattern[str]]:
    """The expressions by the three characters they begin with; the rest, to be matched with the beginning of a text."""
    found: dict[str, list[str]] = defaultdict(list)
    rest = []
    for expression in _each(expressions):
        beginning = re.sub(r"\\(.)", r"\1", _BEGINNING.match(expression)[0])[:3].lower()  # type: ignore[index]
        if expression.startswith("^"):
            rest.append(expression)
        elif len(beginning) < 3 or "|" in expression:
            rest.append(f"(?s:.*?)(?:{expression})")
        else:
            found[beginning].append(expression)
    return {beginning: _any_of(among) for beginning, among in found.items()}, _any_of(rest)


def _any_of(expressions: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{expression})" for expression in expressions), re.IGNORECASE)


_LISTED, _LISTED_REST = _by_beginning(crawlers.data)
_PARTS_OF_BROWSERS: Final = _any_of(exclusions.data)


@lru_cache(maxsize=_REMEMBERED)
def is_bot(user_agent: str) -> bool:
    """Tell a bot by a mark, by a listed name, or by `compatible;`, which of all browsers only old MSIE says.

    `user_agent`: at most `MAX_USER_AGENT_CHARACTERS`, for it is remembered.
    """
    name = user_agent[:_LOOKED_AT].lower()
    if any(mark in name for mark in _MARKS) or ("compatible;" in name and "msie" not in name):
        return True
    return _is_listed(name) and _is_listed(_PARTS_OF_BROWSERS.sub("", name))


def _is_listed(name: str) -> bool:
    if _LISTED_REST.match(name):
        return True
    beginnings = [at for at in range(len(name) - 2) if name[at : at + 3] in _LISTED]
    return any(_LISTED[name[at : at + 3]].match(name, at) for at in beginnings)


def is_browser(user_agent: str) -> bool:
    """Tell whether the sender of a request names itself as browsers and the crawlers that imitate them do.

    A backend reporting on a visitor's behalf calls itself `python-requests/2` or `curl/8`: that is no visitor's
    agent, so it says nothing about bots.
    """
    return user_agent.startswith("Mozilla/")
