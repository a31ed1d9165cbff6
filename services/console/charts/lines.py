"""Line charts: values over time, with those of the period before; and sparklines. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.console.charts.scale import Scale, every, spread, ticks
from services.console.charts.svg import element, label, path_of, picture

_WIDTH: Final = 720.0
_HEIGHT: Final = 220.0
_LEFT: Final = 52.0
_RIGHT: Final = 12.0
_TOP: Final = 10.0
_BOTTOM: Final = 24.0
_LABELS: Final = 8
_SPARK_WIDTH: Final = 120.0
_SPARK_HEIGHT: Final = 28.0


@dataclass(frozen=True)
class Series:
    """`values`: one for each label of the chart, from 0 on; `tone`: 0 to 6, a colour of the style sheet."""

    name: str
    values: Sequence[float]
    tone: int = 1
    is_before: bool = False
    """True: of the period before, drawn with dashes."""


def line_chart(
    title: str,
    description: str,
    labels: Sequence[str],
    series: Sequence[Series],
    shown: Callable[[float], str],
) -> str:
    """Draw lines over a common scale from 0. `shown`: a value as a text of the axis and of the read-outs."""
    marks = ticks(max((value for one in series for value in one.values), default=0.0))
    scale = Scale(marks[-1], _HEIGHT - _BOTTOM, _TOP)
    places = spread(len(labels), _LEFT, _WIDTH - _RIGHT)
    inside = [_grid(marks, scale, shown), _labels(labels, places)]
    inside += [_line(one, places, scale, with_area=index == 0) for index, one in enumerate(series)]
    inside.append(_readouts(labels, series, places, shown))
    return picture(_WIDTH, _HEIGHT, title, description, inside)


def sparkline(values: Sequence[float], tone: int = 1) -> str:
    """Draw a small line without axes, beside a number that has the name."""
    highest = max(values, default=0.0)
    scale = Scale(highest or 1.0, _SPARK_HEIGHT - 2, 2.0)
    places = spread(len(values), 2.0, _SPARK_WIDTH - 2) if values else []
    points = [(x, scale.place(value)) for x, value in zip(places, values, strict=True)]
    drawn = element("path", d=path_of(points), cls=f"line l{tone}") if len(points) > 1 else ""
    box = f"0 0 {_SPARK_WIDTH:.0f} {_SPARK_HEIGHT:.0f}"
    return element("svg", drawn, viewBox=box, cls="chart spark", aria_hidden="true", focusable="false")


def _grid(marks: Sequence[float], scale: Scale, shown: Callable[[float], str]) -> str:
    lines = [
        element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=scale.place(mark), y2=scale.place(mark), cls="grid-line")
        for mark in marks
    ]
    return "".join(lines + [label(shown(mark), _LEFT - 6, scale.place(mark) + 4, "end") for mark in marks])


def _labels(labels: Sequence[str], places: Sequence[float]) -> str:
    step = every(len(labels), _LABELS)
    found = list(zip(labels, places, strict=True))[::step]
    return "".join(label(text, x, _HEIGHT - 6, "middle") for text, x in found)


def _line(series: Series, places: Sequence[float], scale: Scale, with_area: bool) -> str:
    points = [(x, scale.place(value)) for x, value in zip(places, series.values, strict=True)]
    if not points:
        return ""
    if series.is_before:
        return element("path", d=path_of(points), cls="before")
    line = element("path", d=path_of(points), cls=f"line l{series.tone}")
    if not with_area:
        return line
    floor = scale.place(0)
    closed = path_of([(points[0][0], floor), *points, (points[-1][0], floor)]) + "Z"
    return element("path", d=closed, cls="area") + line


def _readouts(
    labels: Sequence[str], series: Sequence[Series], places: Sequence[float], shown: Callable[[float], str]
) -> str:
    """Columns that the page's script shows the values of; each has them as its title, too."""
    width = (_WIDTH - _RIGHT - _LEFT) / max(1, len(labels))
    columns = []
    for index, (text, x) in enumerate(zip(labels, places, strict=True)):
        told = " · ".join([text, *(f"{one.name} {shown(one.values[index])}" for one in series)])
        area = element(
            "rect", x=x - width / 2, y=_TOP, width=width, height=_HEIGHT - _TOP - _BOTTOM, cls="hit", data_value=told
        )
        columns.append(element("g", element("title", _escaped(told)), area))
    return "".join(columns)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
