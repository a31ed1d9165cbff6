"""Reference credits of each model for each touch of a path, in exact fractions: the plain way, for comparison (see
`reference`).
"""

from fractions import Fraction
from typing import Any

from schemas.control import App
from schemas.facts import AttributionRow

DAY_MS = 86_400_000
Row = dict[str, Any]


def shares_of(path: list[Row], converted_at_ms: int, app: App) -> dict[str, list[Fraction]]:
    """Model → the share of each touch of `path` (not empty). Each comes to 1."""
    return {
        "last_click": _one_click(path, -1),
        "first_click": _one_click(path, 0),
        "linear": _spread(path, app, lambda counted: [Fraction(1)] * len(counted)),
        "time_decay": _spread(path, app, lambda counted: _decayed(counted, converted_at_ms, app)),
        "position_based": _spread(path, app, lambda counted: _by_position(len(counted), app)),
        "last_non_direct": _last_non_direct(path),
    }


def _last_non_direct(path: list[Row]) -> list[Fraction]:
    chosen = next((row for row in reversed(path) if row["channel"] != "direct"), path[-1])
    return [Fraction(row is chosen) for row in path]


def _one_click(path: list[Row], end: int) -> list[Fraction]:
    clicks = [row for row in path if row["touch_type"] == "click"]
    campaigns = [row for row in path if row["channel"] != "direct"]
    chosen = (clicks or campaigns or path)[end]
    return [Fraction(row is chosen) for row in path]


def _spread(path: list[Row], app: App, weigh: Any) -> list[Fraction]:
    is_fallback = app.attribution.direct_touch == "fallback"
    counted = [row for row in path if not is_fallback or row["channel"] != "direct"] or path
    weights = weigh(counted)
    shares = {id(row): weight / sum(weights) for row, weight in zip(counted, weights, strict=True)}
    return [shares.get(id(row), Fraction(0)) for row in path]


def _decayed(counted: list[Row], at_ms: int, app: App) -> list[Fraction]:
    half_life_ms = app.attribution.half_life_days * DAY_MS
    return [Fraction(0.5 ** ((at_ms - row["touched_at_ms"]) / half_life_ms)) for row in counted]


def _by_position(count: int, app: App) -> list[Fraction]:
    first, middle, last = (Fraction(str(weight)) for weight in app.attribution.position_weights)
    if count == 1 or (count == 2 and not first + last):
        return [Fraction(1)] * count
    if count == 2:
        return [first, last]
    return [first, *[middle / (count - 2)] * (count - 2), last]


def what_is_wrong(row: AttributionRow, expected: Row) -> list[str]:
    """Return what is wrong with the row's numbers; empty: nothing.

    Each share is less than one unit from the exact one, and together they are the whole: a billion billionths, and of
    the value as many smallest units as there are. `time_decay` may be off by the last place of a float.
    """
    wrong = []
    for model, shares in expected["shares"].items():
        for total, given, blur in (
            (10**9, row.credits_nanos[model], Fraction(1)),
            (row.value_minor, row.values_minor[model], 1 + Fraction(row.value_minor, 10**9)),
        ):
            slack = blur + (Fraction(total, 10**14) * len(given) if model == "time_decay" else 0)
            is_near = all(abs(total * share - part) < slack for part, share in zip(given, shares, strict=True))
            if sum(given) != total or not is_near:
                wrong.append(f"{model}: {given} instead of {[float(total * share) for share in shares]}")
    return wrong
