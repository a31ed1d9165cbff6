"""Credit as it would be if direct visits or impressions were no touches. Pure.

The credit of what is left out goes to the other touches of the conversion, as the model divides it: in proportion to
what it gave them; by position, to those that are first, last and between now; all to one, by the models that pick one.
So the credits of a conversion still add up to 1. Of a conversion with nothing else the direct visits stay, and one
of impressions alone is credited to direct, as one without touches is.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from schemas.facts import NANOS_PER_CONVERSION, Model, TouchType


class LeftOut(StrEnum):
    DIRECT = "direct"
    IMPRESSION = "impression"


_DIRECT: Final = "direct"
_IS_OUT: Final = {
    LeftOut.DIRECT: f"all_channels[i] = '{_DIRECT}'",
    LeftOut.IMPRESSION: f"all_touch_types[i] = '{TouchType.IMPRESSION}'",
}
_TEXTS: Final = ("touch_ids", "touch_types", "channels", "sources", "mediums", "campaigns")
_OF_NO_TOUCH: Final = {"touch_types": TouchType.VISIT.value, "channels": _DIRECT}


def without(rows: str, left_out: Sequence[LeftOut], models: Sequence[Model]) -> str:
    """Select rows of `attributions` (text after FROM) with the touches that remain, and their credits by the models.

    `places` are the places of those touches in the row; one beyond its end stands for no touch at all.
    """
    if not left_out:
        return rows
    is_out = " OR ".join(_IS_OUT[each] for each in left_out)
    arrays = ", ".join(f"{name} AS all_{name}" for name in (*_TEXTS, "credits_nanos"))
    remaining = [f"arrayMap(i -> {_text(name)}, places) AS {name}" for name in _TEXTS]
    credits = ", ".join(f"'{model.value}', {_credits(model)}" for model in models)
    return f"""(
SELECT converted_at_ms, value_minor, {", ".join(remaining)}, map({credits}) AS credits_nanos
FROM
(
    SELECT converted_at_ms, value_minor, {arrays}, arrayEnumerate(all_touch_ids) AS every,
        arrayFilter(i -> NOT ({is_out}), every) AS kept,
        arrayFilter(i -> {_IS_OUT[LeftOut.DIRECT]}, every) AS directs,
        multiIf(notEmpty(kept), kept, notEmpty(directs), directs, [toUInt32(length(every) + 1)]) AS places,
        arrayFilter(j -> {_text("channels", "places[j]")} != '{_DIRECT}', arrayEnumerate(places)) AS others
    FROM {rows}
))"""


def _text(name: str, place: str = "i") -> str:
    stored = f"all_{name}[{place}]"
    instead = _OF_NO_TOUCH.get(name)
    return f"if({place} > length(all_touch_ids), '{instead}', {stored})" if instead else stored


def _credits(model: Model) -> str:
    """Return the expression of the credits: weights in proportion; what rounding leaves goes to the greatest. The
    lambdas of one argument name what is used more than once."""
    is_first = model is Model.FIRST_CLICK
    picked = f"if(empty(others), {1 if is_first else 'length(places)'}, others[{1 if is_first else -1}])"
    alone = f"arrayMap(j -> if(j = {picked}, {NANOS_PER_CONVERSION}, 0), arrayEnumerate(places))"
    shares = f"arrayMap(w -> toInt64(intDiv(toInt128(w) * {NANOS_PER_CONVERSION}, arraySum(weights))), weights)"
    greatest = "indexOf(weights, arrayMax(weights))"
    rounded = f"arrayMap((s, j) -> s + if(j = {greatest}, {NANOS_PER_CONVERSION} - arraySum(shares), 0), shares,"
    rounded += " arrayEnumerate(shares))"
    divided = _let("shares", shares, rounded)
    chosen = f"if(arraySum(weights) = 0, arrayMap(n -> toInt64(n), {alone}), {divided})"
    return _let("weights", _weights(model), chosen)


def _weights(model: Model) -> str:
    nanos = f"all_credits_nanos['{model.value}']"
    remaining = f"arrayMap(i -> toInt64({nanos}[i]), places)"
    if model is not Model.POSITION_BASED:
        return remaining
    counted = f"arrayFilter(n -> n > 0, {nanos})"
    between = "greatest(arrayCount(n -> n > 0, own) - 2, 1)"
    middle = f"({NANOS_PER_CONVERSION} - counted[1] - counted[-1])"
    weight = f"multiIf(n = 0, 0, r = 1, counted[1] * {between}, r = arrayMax(ranks), counted[-1] * {between}, {middle})"
    by_rank = f"arrayMap((n, r) -> toInt64({weight}), own, ranks)"
    ranked = _let("ranks", "arrayCumSum(n -> n > 0, own)", by_rank)
    return _let("own", remaining, _let("counted", counted, ranked))


def _let(name: str, value: str, expression: str) -> str:
    """Return `expression` with `name` standing for `value`, which is computed once."""
    return f"arrayMap({name} -> {expression}, [{value}])[1]"
