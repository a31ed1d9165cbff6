"""Texts of the console: those in code and templates, those of errors and refusals, and the Chinese catalogue."""

import ast
from collections.abc import Collection, Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from pipeline import control
from services import webhook_calls
from services.console.i18n.catalogue import PO_FILE

ROOT = PO_FILE.parents[1]
_BELOW = [Path(one.__file__).parent for one in (control, webhook_calls)]
"""Folders outside of the console whose messages its pages show."""
_METHODS = [("**.py", "python"), ("**.html", "jinja2.ext:babel_extract")]
_KEYWORDS: dict[str, None] = {"_": None, "text": None}
_PLACES = dict.fromkeys(("ControlPlaneError", "InvalidRecord", "AlreadyExists", "UnknownRecord", "message"), (0,))
"""Arguments that are texts, by the name of what is called."""
_PLACES |= {"_taken": (0,), "require": (1, 3)}

_SHOWN_ATTRIBUTES = {"title", "alt", "placeholder", "aria-label"}


def texts_in_code() -> set[str]:
    options = {"**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}
    found = extract_from_dir(ROOT, _METHODS, options, _KEYWORDS)
    texts = {message for _, _, message, _, _ in found if isinstance(message, str)}
    return texts | {one.value for one in texts_of_errors() if isinstance(one, ast.Constant)}


def texts_of_errors() -> Iterator[ast.expr]:
    """What errors and refusals are made of; a constant is a text."""
    for path in [one for folder in (*_BELOW, ROOT) for one in folder.rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            yield from (node.args[place] for place in _PLACES.get(name, ()) if len(node.args) > place)


@cache
def translated_texts() -> dict[str, str]:
    """English → Chinese."""
    with PO_FILE.open("rb") as file:
        catalog = read_po(file, locale="zh", abort_invalid=True)
    return {str(one.id): str(one.string) for one in catalog if one.id and not one.fuzzy}


def templates() -> list[Path]:
    return sorted((ROOT / "templates").glob("*.html"))


def shown_texts(markup: str, left_out: Collection[str] = ("style",)) -> list[str]:
    """Return the texts a reader sees or hears of a page or a template, but for those in elements named `left_out`."""
    parser = _ShownTexts(left_out)
    parser.feed(markup)
    return parser.found


def english_texts_left(markup: str) -> set[str]:
    """Return the texts of the catalogue that stayed English on a page in Chinese. What programs and senders wrote does
    not count.
    """
    english = {text for text, chinese in translated_texts().items() if text != chinese}
    return {text.strip() for text in shown_texts(markup, left_out=("code", "pre"))} & english


class _ShownTexts(HTMLParser):
    def __init__(self, left_out: Collection[str]) -> None:
        super().__init__()
        self.found: list[str] = []
        self._left_out = left_out
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside.append(tag)
        self.found += [value or "" for name, value in attrs if name in _SHOWN_ATTRIBUTES]

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not set(self._inside[-1:]) & set(self._left_out):
            self.found.append(data)
