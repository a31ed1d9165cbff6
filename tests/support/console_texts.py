"""Texts of the console: those in code and templates, those of the control plane's errors, and the Chinese catalogue."""

import ast
from collections.abc import Iterator
from pathlib import Path

from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from pipeline import control
from services.console.i18n.catalogue import PO_FILE

ROOT = PO_FILE.parents[1]
_CONTROL = Path(control.__file__).parent
_METHODS = [("**.py", "python"), ("**.html", "jinja2.ext:babel_extract")]
_KEYWORDS: dict[str, None] = {"_": None, "text": None}
_PLACES = dict.fromkeys(("ControlPlaneError", "InvalidRecord", "AlreadyExists", "UnknownRecord", "message"), (0,))
"""Arguments that are texts, by the name of what is called."""
_PLACES |= {"_taken": (0,), "require": (1, 3)}


def texts_in_code() -> set[str]:
    options = {"**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}
    found = extract_from_dir(ROOT, _METHODS, options, _KEYWORDS)
    texts = {message for _, _, message, _, _ in found if isinstance(message, str)}
    return texts | {one.value for one in texts_of_errors() if isinstance(one, ast.Constant)}


def texts_of_errors() -> Iterator[ast.expr]:
    """What the errors of the control plane are made of; a constant is a text."""
    for path in [*_CONTROL.glob("*.py"), *ROOT.rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            yield from (node.args[place] for place in _PLACES.get(name, ()) if len(node.args) > place)


def translated_texts() -> dict[str, str]:
    """English → Chinese."""
    with PO_FILE.open("rb") as file:
        catalog = read_po(file, locale="zh", abort_invalid=True)
    return {str(one.id): str(one.string) for one in catalog if one.id and not one.fuzzy}


def templates() -> list[Path]:
    return sorted((ROOT / "templates").glob("*.html"))
