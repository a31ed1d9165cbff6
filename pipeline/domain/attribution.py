"""Who gets the credit: pure arithmetic over a path, in integers, so that sums are exact.

Each model gives every touch a whole-number weight; a total (a billion billionths of credit, or the conversion's value)
is then divided in proportion, each share rounded down, and what remains goes to the last touch that has weight.

Weights, sources: `position_based` 40/20/40 and the others as the product's documentation defines them; `time_decay` is
2^(-age / half-life), as Adobe Analytics and Google Ads define it.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from pipeline.domain.rules import AppRules
from pipeline.domain.state import Touch
from pipeline.domain.touches import CLICK, is_direct
from schemas.facts import NANOS_PER_CONVERSION, Model

_DECAY_ONE: Final = 1 << 53


def credit_path(
    path: Sequence[Touch], value_minor: int, rules: AppRules
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """(credits in billionths, values in smallest units) per model, parallel to `path`, oldest first and not empty.

    Per model the credits sum to 1,000,000,000 and the values to `value_minor`.
    """
    credits_nanos: dict[str, list[int]] = {}
    values_minor: dict[str, list[int]] = {}
    for model, weights in weigh(path, rules).items():
        credits_nanos[model] = apportion(NANOS_PER_CONVERSION, weights)
        values_minor[model] = apportion(value_minor, weights)
    return credits_nanos, values_minor


def weigh(path: Sequence[Touch], rules: AppRules) -> dict[str, list[int]]:
    """Whole-number weights per model; each model has at least one above 0."""
    counted = [i for i, touch in enumerate(path) if not (rules.is_direct_fallback and is_direct(touch))]
    counted = counted or list(range(len(path)))
    count = len(counted)
    spread = {
        Model.LINEAR: [1] * count,
        Model.TIME_DECAY: _decay([path[i].at_ms for i in counted], rules.half_life_ms),
        Model.POSITION_BASED: _positions(count, rules.position_weights),
    }
    return {
        Model.LAST_CLICK.value: _single(len(path), _pick(path, -1)),
        Model.FIRST_CLICK.value: _single(len(path), _pick(path, 0)),
        **{model.value: _scatter(len(path), counted, weights) for model, weights in spread.items()},
    }


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in proportion to `weights`, rounded down; the remainder goes to the last that has weight."""
    weight_sum = sum(weights)
    shares = [total * weight // weight_sum for weight in weights]
    last = max(i for i, weight in enumerate(weights) if weight)
    shares[last] += total - sum(shares)
    return shares


def _pick(path: Sequence[Touch], end: int) -> int:
    """The place of the last (-1) or first (0) click, else touch that is not direct, else touch."""
    clicks = [i for i, touch in enumerate(path) if touch.touch_type == CLICK]
    others = [i for i, touch in enumerate(path) if not is_direct(touch)]
    return (clicks or others or range(len(path)))[end]


def _decay(times_ms: list[int], half_life_ms: float) -> list[int]:
    """Ages are counted from the newest touch: the same proportions, and the newest never vanishes in rounding."""
    newest_ms = times_ms[-1]
    return [int(_DECAY_ONE * 2.0 ** ((at_ms - newest_ms) / half_life_ms)) for at_ms in times_ms]


def _positions(count: int, shares: tuple[float, float, float]) -> list[int]:
    """First and last in proportion where nothing is between them (40/40 is 50/50)."""
    first, middle, last = (int(Fraction(str(share)) * NANOS_PER_CONVERSION) for share in shares)
    if count == 1:
        return [1]
    between = max(count - 2, 1)
    return [first * between, *[middle] * (count - 2), last * between]


def _single(count: int, place: int) -> list[int]:
    weights = [0] * count
    weights[place] = 1
    return weights


def _scatter(count: int, places: list[int], weights: list[int]) -> list[int]:
    scattered = [0] * count
    for place, weight in zip(places, weights, strict=True):
        scattered[place] = weight
    return scattered
