"""Texts of the console: every one has a translation with the same values, and templates hold no other text."""

import ast
import re

import pytest
from console_texts import shown_texts, templates, texts_in_code, texts_of_errors, translated_texts

_VALUE = re.compile(r"%\((\w+)\)[sr]")
_OF_JINJA = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)


def test_every_text_is_translated() -> None:
    chinese = translated_texts()
    assert sorted(text for text in texts_in_code() if not chinese.get(text)) == []
    assert sorted(chinese.keys() - texts_in_code()) == [], "no longer used"


def test_a_translation_has_the_values_of_its_text() -> None:
    for english, chinese in translated_texts().items():
        assert set(_VALUE.findall(english)) == set(_VALUE.findall(chinese)), english


def test_an_error_of_the_control_plane_is_made_of_texts_that_can_be_translated() -> None:
    """No text is put together before it is translated."""
    assert [ast.unparse(one) for one in texts_of_errors() if isinstance(one, ast.JoinedStr | ast.BinOp)] == []


@pytest.mark.parametrize("template", templates(), ids=lambda path: path.name)
def test_a_template_holds_no_text_outside_the_catalogue(template) -> None:
    shown = shown_texts(_OF_JINJA.sub("", template.read_text()))
    words = [word for text in shown for word in re.findall(r"[A-Za-z\u4e00-\u9fff]{2,}", text)]
    assert [word for word in words if word != "AttriKit"] == []
