"""The pages' texts: English in the code, Chinese from `locale/zh.po`, read once."""

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

from services.web.envelope import Language

LANGUAGES: Final[dict[Language, str]] = {"zh": "中文", "en": "English"}
PO_FILE: Final = Path(__file__).parents[1] / "locale" / "zh.po"


@cache
def translations_of(language: Language) -> NullTranslations:
    """Return the catalogue of a language. The code's own texts are English."""
    if language == "en":
        return NullTranslations()
    with PO_FILE.open("rb") as file:
        catalog = read_po(file, locale="zh")
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Translations(compiled)


def text(message: str) -> str:
    """Mark a text for the catalogue; it is translated where it is shown."""
    return message
