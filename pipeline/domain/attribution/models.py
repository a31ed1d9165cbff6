"""Attribution models: pure arithmetic over a path, in integers, so that sums are exact.

Each model gives every touch a whole-number weight. A billion billionths of credit are divided in proportion, by the
method of the largest remainder. What a touch is credited with of the conversion's value is then exactly value x credit,
in billionths of the smallest unit; sums are made of that. Of one conversion it is shown in smallest units that add up.

Weights, sources: `position_based` 40/20/40 and the others as the product's documentation defines them; `time_decay` is
2^(-age / half-life), as Adobe Analytics and Google Ads define it; `last_non_direct` as Google Analytics does.
"""

from collections.abc import Sequence
from itertools import chain, groupby
from typing import Final

from pipeline.domain.rules import AppRules
from pipeline.domain.state import Touch
from pipeline.domain.touches.touch import CLICK, is_direct
from schemas.facts import NANOS_PER_CONVERSION, Model
from schemas.money import Run, round_runs, round_together

_MANY: Final = 16
_FEW_WEIGHTS: Final = 3
_DECAY_ONE: Final = 1 << 53
_LAST_CLICK: Final = Model.LAST_CLICK.value
_FIRST_CLICK: Final = Model.FIRST_CLICK.value
_LINEAR: Final = Model.LINEAR.value
_TIME_DECAY: Final = Model.TIME_DECAY.value
_POSITION_BASED: Final = Model.POSITION_BASED.value
_LAST_NON_DIRECT: Final = Model.LAST_NON_DIRECT.value
SHARE_REASONS: Final[dict[str, str]] = {
    "last_click": "the last click of the path",
    "first_click": "the first click",
    "last_non_direct": "the last touch that is not direct",
    "first_non_direct": "the first touch that is not direct, there being no click",
    "last_touch": "the last touch, all being direct",
    "first_touch": "the first touch, all being direct",
    "not_last": "a later one is credited",
    "not_first": "an earlier one is credited",
    "no_click": "no click, and there are clicks",
    "direct": "a direct visit, and there are other touches",
    "equal": "an equal share",
    "by_age": "half as much for every half-life of its age",
    "only": "the only touch that counts",
    "first": "the first share",
    "middle": "a part of the middle share",
    "last": "the last share",
    "no_touch": "there was no touch: the conversion is credited to direct",
}
"""Reasons why a touch has its share under a model, with their meanings."""


def credit_path(
    path: Sequence[Touch], value_minor: int, rules: AppRules
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """(credits in billionths, values rounded to smallest units) per model, parallel to `path`: oldest first, not empty.

    Per model the credits sum to 1,000,000,000 and the values to `value_minor`.
    """
    credits_nanos: dict[str, list[int]] = {}
    values_minor: dict[str, list[int]] = {}
    for model, weights in weigh(path, rules).items():
        total = sum(weights)
        if total in weights:
            credits_nanos[model] = _alone(len(path), weights.index(total), NANOS_PER_CONVERSION)
            values_minor[model] = _alone(len(path), weights.index(total), value_minor)
        else:
            credits_nanos[model], values_minor[model] = _divide(weights, total, value_minor)
    return credits_nanos, values_minor


def _divide(weights: list[int], total: int, value_minor: int) -> tuple[list[int], list[int]]:
    """(credits, values) in proportion to `weights`, whose sum is `total`. Most models have a few runs of equal ones."""
    if len(weights) < _MANY or len(set(weights)) > _FEW_WEIGHTS:
        nanos = round_together([NANOS_PER_CONVERSION * weight for weight in weights], total)
        return nanos, round_together([value_minor * share for share in nanos], NANOS_PER_CONVERSION)
    runs = [(weight, len(list(equals))) for weight, equals in groupby(weights)]
    shares = round_runs([(NANOS_PER_CONVERSION * weight, count) for weight, count in runs], total)
    values = round_runs([(value_minor * share, count) for share, count in shares], NANOS_PER_CONVERSION)
    return _spelled_out(shares), _spelled_out(values)


def _spelled_out(runs: list[Run]) -> list[int]:
    return list(chain.from_iterable([part] * count for part, count in runs))


def weigh(path: Sequence[Touch], rules: AppRules) -> dict[str, list[int]]:
    """Whole-number weights per model; each model has at least one above 0."""
    size = len(path)
    counted = _counted(path, rules.is_direct_fallback)
    times_ms = [path[i].at_ms for i in counted]
    return {
        _LAST_CLICK: _alone(size, _pick(path, -1), 1),
        _FIRST_CLICK: _alone(size, _pick(path, 0), 1),
        _LINEAR: _scatter(size, counted, [1] * len(counted)),
        _TIME_DECAY: _scatter(size, counted, _decay(times_ms, rules.half_life_ms)),
        _POSITION_BASED: _scatter(size, counted, _positions(len(counted), rules.position_weights)),
        _LAST_NON_DIRECT: _alone(size, _last_non_direct(path), 1),
    }


def _counted(path: Sequence[Touch], is_direct_fallback: bool) -> list[int]:
    """The places of the touches that the models which spread credit look at."""
    others = [i for i, touch in enumerate(path) if not is_direct(touch)] if is_direct_fallback else []
    return others or list(range(len(path)))


def reasons(path: Sequence[Touch], is_direct_fallback: bool) -> dict[str, list[str]]:
    """Per model, why each touch of the path has the share that `weigh` gives it: one of `SHARE_REASONS`."""
    counted = set(_counted(path, is_direct_fallback))
    count = len(counted)
    by_position = ["only"] if count == 1 else ["first", *["middle"] * (count - 2), "last"]
    return {
        _LAST_CLICK: _picked(path, -1),
        _FIRST_CLICK: _picked(path, 0),
        _LINEAR: _spread(len(path), counted, ["equal"] * count),
        _TIME_DECAY: _spread(len(path), counted, ["by_age"] * count),
        _POSITION_BASED: _spread(len(path), counted, by_position),
        _LAST_NON_DIRECT: _picked(path, -1, has_clicks=False),
    }


def _picked(path: Sequence[Touch], end: int, has_clicks: bool = True) -> list[str]:
    """Return the reason of each touch under a model that picks one touch."""
    word = "last" if end else "first"
    clicks = [i for i, touch in enumerate(path) if touch.touch_type == CLICK] if has_clicks else []
    others = [i for i, touch in enumerate(path) if not is_direct(touch)]
    pool = clicks or others or list(range(len(path)))
    kind, beside = ("click", "no_click") if clicks else ("non_direct", "direct") if others else ("touch", "")
    found = [f"not_{word}" if i in pool else beside for i in range(len(path))]
    found[pool[end]] = f"{word}_{kind}"
    return found


def _spread(size: int, counted: set[int], words: list[str]) -> list[str]:
    remaining = iter(words)
    return [next(remaining) if i in counted else "direct" for i in range(size)]


def _pick(path: Sequence[Touch], end: int) -> int:
    """The place of the last (-1) or first (0) click, else touch that is not direct, else touch."""
    places = range(len(path)) if end == 0 else range(len(path) - 1, -1, -1)
    click = next((i for i in places if path[i].touch_type == CLICK), None)
    return next((i for i in places if not is_direct(path[i])), places[0]) if click is None else click


def _last_non_direct(path: Sequence[Touch]) -> int:
    return next((i for i in range(len(path) - 1, -1, -1) if not is_direct(path[i])), len(path) - 1)


def _decay(times_ms: list[int], half_life_ms: float) -> list[int]:
    """Ages are counted from the newest touch: the same proportions, and the newest never vanishes in rounding."""
    newest_ms = times_ms[-1]
    return [int(_DECAY_ONE * 2.0 ** ((at_ms - newest_ms) / half_life_ms)) for at_ms in times_ms]


def _positions(count: int, shares: tuple[int, int, int]) -> list[int]:
    """First and last in proportion where nothing is between them (40/40 is 50/50); equal where no share is above 0."""
    first, middle, last = shares
    between = max(count - 2, 1)
    weights = [first * between, *[middle] * (count - 2), last * between]
    return weights if count > 1 and any(weights) else [1] * count


def _alone(count: int, place: int, amount: int) -> list[int]:
    """Give the whole credit to one place."""
    scattered = [0] * count
    scattered[place] = amount
    return scattered


def _scatter(count: int, places: list[int], weights: list[int]) -> list[int]:
    if len(places) == count:
        return weights
    scattered = [0] * count
    for place, weight in zip(places, weights, strict=True):
        scattered[place] = weight
    return scattered
