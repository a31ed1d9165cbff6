"""SVG as text: elements whose texts and attributes are escaped. Pure."""

from collections.abc import Iterable
from html import escape
from itertools import count
from typing import Final

Value = str | int | float
_RENAMED: Final = {"cls": "class"}


def element(name: str, *inside: str, **attributes: Value | None) -> str:
    """Return an element. `inside`: markup; `attributes`: `cls` is `class`, `_` is `-`, None is left out."""
    shown = "".join(
        f' {_RENAMED.get(key, key.replace("_", "-"))}="{escape(number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{shown}>{''.join(inside)}</{name}>" if inside else f"<{name}{shown}/>"


def label(text: str, x: float, y: float, anchor: str = "start", cls: str = "") -> str:
    return element("text", escape(text), x=x, y=y, text_anchor=anchor, cls=cls or None)


def number(value: Value) -> str:
    """Format a coordinate: at most one digit after the point."""
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def picture(
    width: float, height: float, title: str, description: str, inside: Iterable[str], cls: str = "chart"
) -> str:
    """Return a whole picture with a name and a description for those who do not see it."""
    named = element("title", escape(title)) + (element("desc", escape(description)) if description else "")
    box = f"0 0 {number(width)} {number(height)}"
    return element("svg", named, *inside, viewBox=box, cls=cls, role="img", xmlns="http://www.w3.org/2000/svg")


def path_of(points: Iterable[tuple[float, float]]) -> str:
    """Return the `d` of a line through the points."""
    places = count()
    return "".join(f"{'L' if next(places) else 'M'}{number(x)} {number(y)}" for x, y in points)
