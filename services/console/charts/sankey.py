"""Sankey of paths: at most six steps, the rest of each step together as "others (n)", always all of it. Pure."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.console.charts.svg import element, label, number, picture

MAX_STEPS: Final = 6
MAX_NODES: Final = 6
"""Nodes of a step, with that of the others."""
_WIDTH: Final = 960.0
_HEIGHT: Final = 360.0
_NODE_WIDTH: Final = 12.0
_GAP: Final = 10.0
_TONES: Final = 6
Node = tuple[int, str]
"""(step, name)"""


@dataclass(frozen=True)
class Words:
    """Texts of the picture. `others`: with `{n}` for the number of names it stands for."""

    others: str
    end: str
    """Name of the node where every path ends."""


def sankey(title: str, description: str, paths: Mapping[tuple[str, ...], float], words: Words) -> str:
    """Draw paths with their weights. A longer path is cut in the middle: its first and last steps are kept."""
    named = _named({_cut(path): 0.0 for path in paths}, paths, words)
    columns = _columns(named)
    highest = sum(named.values()) or 1.0
    places = _places(columns, highest)
    inside = [_flows(named, columns, places, highest), _nodes(columns, places, highest)]
    return picture(_WIDTH, _HEIGHT + 8, title, description, inside)


def _cut(path: Sequence[str]) -> tuple[str, ...]:
    if len(path) <= MAX_STEPS:
        return tuple(path)
    half = MAX_STEPS // 2
    return (*path[:half], *path[-half:])


def _named(
    cut: dict[tuple[str, ...], float], paths: Mapping[tuple[str, ...], float], words: Words
) -> dict[tuple[str, ...], float]:
    """Paths with the names of the picture: small ones of a step are `others`, and the end is a step of its own."""
    for path, weight in paths.items():
        cut[_cut(path)] += weight
    by_step: list[Counter[str]] = [Counter() for _ in range(MAX_STEPS)]
    for kept, weight in cut.items():
        for step, name in enumerate(kept):
            by_step[step][name] += weight  # type: ignore[assignment]
    shown = [_shown_names(names, words) for names in by_step]
    found: dict[tuple[str, ...], float] = {}
    for kept, weight in cut.items():
        named = (*(shown[step][name] for step, name in enumerate(kept)), words.end)
        found[named] = found.get(named, 0.0) + weight
    return found


def _shown_names(names: Counter[str], words: Words) -> dict[str, str]:
    ordered = [name for name, _ in sorted(names.items(), key=lambda item: (-item[1], item[0]))]
    kept = ordered if len(ordered) <= MAX_NODES else ordered[: MAX_NODES - 1]
    others = words.others.format(n=len(ordered) - len(kept))
    return {name: name if name in kept else others for name in ordered}


def _columns(paths: Mapping[tuple[str, ...], float]) -> list[dict[str, float]]:
    """Step → name → weight. The end of every path stands in the last column."""
    longest = max((len(path) for path in paths), default=1)
    columns: list[dict[str, float]] = [{} for _ in range(longest)]
    for path, weight in paths.items():
        for step, name in _steps_of(path, longest):
            columns[step][name] = columns[step].get(name, 0.0) + weight
    return columns


def _steps_of(path: tuple[str, ...], longest: int) -> list[Node]:
    return [*enumerate(path[:-1]), (longest - 1, path[-1])]


def _places(columns: Sequence[Mapping[str, float]], highest: float) -> dict[Node, float]:
    """Node → its top, greatest first in each column."""
    most = max(len(column) for column in columns)
    scale = _scale(most, highest)
    places: dict[Node, float] = {}
    for step, column in enumerate(columns):
        top = 4.0
        for name, weight in sorted(column.items(), key=lambda item: (-item[1], item[0])):
            places[step, name] = top
            top += weight * scale + _GAP
    return places


def _scale(most_nodes: int, highest: float) -> float:
    return (_HEIGHT - _GAP * most_nodes) / highest


def _x(step: int, count: int) -> float:
    return 0.0 if count == 1 else step * (_WIDTH - 130 - _NODE_WIDTH) / (count - 1)


def _nodes(columns: Sequence[Mapping[str, float]], places: Mapping[Node, float], highest: float) -> str:
    scale = _scale(max(len(column) for column in columns), highest)
    drawn = []
    for step, column in enumerate(columns):
        tones = {name: index % _TONES + 1 for index, name in enumerate(sorted(column))}
        for name, weight in column.items():
            x, top, height = _x(step, len(columns)), places[step, name], max(1.0, weight * scale)
            drawn.append(element("rect", x=x, y=top, width=_NODE_WIDTH, height=height, rx=2, cls=f"f{tones[name]}"))
            shown = name if len(name) <= 18 else name[:17] + "…"
            drawn.append(label(f"{shown} {weight / highest:.0%}", x + _NODE_WIDTH + 4, top + min(height, 16) / 2 + 4))
    return "".join(drawn)


def _flows(
    paths: Mapping[tuple[str, ...], float],
    columns: Sequence[Mapping[str, float]],
    places: Mapping[Node, float],
    highest: float,
) -> str:
    scale, count = _scale(max(len(column) for column in columns), highest), len(columns)
    links: dict[tuple[Node, Node], float] = {}
    for path, weight in paths.items():
        steps = _steps_of(path, count)
        for pair in itertools.pairwise(steps):
            links[pair] = links.get(pair, 0.0) + weight
    left, right = dict(places), dict(places)
    drawn = []
    for (start, end), weight in sorted(links.items(), key=lambda item: (places[item[0][0]], places[item[0][1]])):
        height = weight * scale
        drawn.append(_flow(_x(start[0], count) + _NODE_WIDTH, left[start], _x(end[0], count), right[end], height))
        left[start] += height
        right[end] += height
    return "".join(drawn)


def _flow(x1: float, y1: float, x2: float, y2: float, height: float) -> str:
    middle = (x1 + x2) / 2
    points = ((x1, y1), (middle, y1), (middle, y2), (x2, y2))
    upper = "M{} C{} {} {}".format(*(f"{number(x)} {number(y)}" for x, y in points))
    lower = "L{} C{} {} {}Z".format(*(f"{number(x)} {number(y + height)}" for x, y in reversed(points)))
    return element("path", d=upper + lower, cls="f0 flow")
