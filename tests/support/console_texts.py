"""Texts of the console: those in code and templates, and those of the Chinese catalogue."""

from pathlib import Path

from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from services.console.i18n.catalogue import PO_FILE

ROOT = PO_FILE.parents[1]
_METHODS = [("**.py", "python"), ("**.html", "jinja2.ext:babel_extract")]
_KEYWORDS: dict[str, None] = {"_": None, "text": None}


def texts_in_code() -> set[str]:
    options = {"**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}
    found = extract_from_dir(ROOT, _METHODS, options, _KEYWORDS)
    return {message for _, _, message, _, _ in found if isinstance(message, str)}


def translated_texts() -> dict[str, str]:
    """English → Chinese."""
    with PO_FILE.open("rb") as file:
        catalog = read_po(file, locale="zh", abort_invalid=True)
    return {str(one.id): str(one.string) for one in catalog if one.id and not one.fuzzy}


def templates() -> list[Path]:
    return sorted((ROOT / "templates").glob("*.html"))
