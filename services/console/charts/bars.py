"""Bars: one beside a number of a table, and the steps of a funnel. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.console.charts.scale import Scale
from services.console.charts.svg import element, label, picture

_BAR_WIDTH: Final = 100.0
_BAR_HEIGHT: Final = 6.0
_WIDTH: Final = 720.0
_STEP_HEIGHT: Final = 54.0
_LABEL_WIDTH: Final = 190.0


def bar(value: float, highest: float, tone: int = 1) -> str:
    """Draw a bar beside a number, which stands in the table already: it has no name of its own."""
    scale = Scale(highest or 1.0, 0.0, _BAR_WIDTH)
    width = max(scale.place(max(value, 0.0)), 1.0 if value > 0 else 0.0)
    track = element("rect", x=0, y=0, width=_BAR_WIDTH, height=_BAR_HEIGHT, rx=2, cls="track")
    filled = element("rect", x=0, y=0, width=width, height=_BAR_HEIGHT, rx=2, cls=f"f{tone}")
    box = f"0 0 {_BAR_WIDTH:.0f} {_BAR_HEIGHT:.0f}"
    return element(
        "svg",
        track,
        filled,
        viewBox=box,
        cls="chart bar",
        aria_hidden="true",
        preserveAspectRatio="none",
        focusable="false",
    )


@dataclass(frozen=True)
class Step:
    name: str
    value: float
    shown: str
    """The value and its share, as a text."""


def funnel(title: str, description: str, steps: Sequence[Step]) -> str:
    """Draw the steps of a funnel below each other, with what was lost between them."""
    highest = max((step.value for step in steps), default=0.0)
    scale = Scale(highest or 1.0, 0.0, _WIDTH - _LABEL_WIDTH)
    inside = [_step(index, step, scale) for index, step in enumerate(steps)]
    inside += [_loss(index, before, after, scale) for index, (before, after) in enumerate(itertools.pairwise(steps))]
    return picture(_WIDTH, _STEP_HEIGHT * max(1, len(steps)) - 18, title, description, inside)


def _step(index: int, step: Step, scale: Scale) -> str:
    top = index * _STEP_HEIGHT
    track = element("rect", x=_LABEL_WIDTH, y=top, width=scale.end, height=34, rx=4, cls="track")
    filled = element("rect", x=_LABEL_WIDTH, y=top, width=max(1.0, scale.place(step.value)), height=34, rx=4, cls="f1")
    name = step.name if len(step.name) <= 26 else step.name[:25] + "…"
    return track + filled + label(name, 0, top + 15, cls="strong") + label(step.shown, 0, top + 30)


def _loss(index: int, before: Step, after: Step, scale: Scale) -> str:
    top, bottom = index * _STEP_HEIGHT + 34, (index + 1) * _STEP_HEIGHT
    left, right_before, right_after = _LABEL_WIDTH, scale.place(before.value), scale.place(after.value)
    points = f"{left},{top} {left + right_before:.1f},{top} {left + right_after:.1f},{bottom} {left},{bottom}"
    return element("polygon", points=points, cls="f1 flow")
