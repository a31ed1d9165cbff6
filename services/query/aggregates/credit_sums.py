"""Sums of attribution credit per value of a dimension and model, shared by `/attribution` and the reports. Pure.

An `attributions` row holds a conversion's touches and each model's credits as parallel arrays. A touch's part of the
value is value x credit, in billionths of the smallest unit: integers, so unfolded and summed they add up to the last
unit, and no touch is favoured by rounding. Sums are rounded when shown, the rows of a report together, so that they add
up to its totals. The models stand side by side as columns: unfolded too, they would make six rows of each touch.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from schemas.facts import NANOS_PER_CONVERSION, Model
from schemas.money import round_together
from services.query.aggregates.answers import Credit
from services.query.aggregates.report_parts import Part
from services.query.core.numbers import credit, micros_together, money


class Dimension(StrEnum):
    CHANNEL = "channel"
    SOURCE = "source"
    MEDIUM = "medium"
    CAMPAIGN = "campaign"
    CONTENT = "content"
    TOUCH_TYPE = "touch_type"


OF_TOUCHES: Final = frozenset({Dimension.CONTENT, Dimension.TOUCH_TYPE})
"""Dimensions that touches alone have: a session, and so a conversion by its session, has none."""
_ARRAYS: Final = {
    Dimension.CHANNEL: "channels",
    Dimension.SOURCE: "sources",
    Dimension.MEDIUM: "mediums",
    Dimension.CAMPAIGN: "campaigns",
    Dimension.CONTENT: "arrayMap(id -> sipHash64(id), touch_ids)",
    Dimension.TOUCH_TYPE: "touch_types",
}
"""Arrays of `attributions` beside its touches. There is none of contents: `touch_contents` finds them by the touch."""


def credit_columns(dimension: Dimension, models: Sequence[Model], narrowed_by: Sequence[Dimension] = ()) -> str:
    """Return the columns for the rows of `attributions`: `keys`, and per model the array `nanos_<i>` beside them;
    `value_minor`; the arrays of the dimensions that the touches are narrowed by.
    """
    parts = [
        "value_minor",
        f"{_ARRAYS[dimension]} AS keys",
        *(f"{_ARRAYS[each]} AS of_{each}s" for each in narrowed_by),
    ]
    for index, model in enumerate(models):
        parts.append(f"arrayResize(credits_nanos['{model.value}'], length(keys)) AS nanos_{index}")
    return ", ".join(parts)


def unfolded(rows: str, models: Sequence[Model], narrowed_by: Sequence[Dimension] = ()) -> str:
    """Unfold `rows`, a table expression with `credit_columns`, `is_previous` and `period`: one row per touch, with its
    `key` and `nano_<i>`; of touches with the value `in_<dimension>`, a parameter, of each dimension they are narrowed
    by.
    """
    names, joined = ["is_previous", "period", "key", "value_minor"], ["keys AS key"]
    for index, _ in enumerate(models):
        names.append(f"nano_{index}")
        joined.append(f"nanos_{index} AS nano_{index}")
    joined += [f"of_{each}s AS of_{each}" for each in narrowed_by]
    is_in = [f"of_{each} = {{in_{each}:String}}" for each in narrowed_by]
    where = f" WHERE {' AND '.join(is_in)}" if is_in else ""
    return f"SELECT {', '.join(names)} FROM {rows} ARRAY JOIN {', '.join(joined)}{where}"


def credit_sums(models: Sequence[Model]) -> tuple[str, ...]:
    """Return the sums, model after model: billionths of credit; whole smallest units of the rows' currency, and the
    billionths of one that are left, for all of it in billionths is beyond 64 bits.
    """
    numbers: list[str] = []
    for index, _ in enumerate(models):
        value = f"sum(toInt128(value_minor) * nano_{index})"
        numbers += [
            f"sum(nano_{index})",
            f"toInt64(intDiv({value}, {NANOS_PER_CONVERSION}))",
            f"toInt64({value} % {NANOS_PER_CONVERSION})",
        ]
    return tuple(numbers)


def shown_part(part: Part, models: Sequence[Model]) -> Part:
    """Return a part of `credit_sums`, rounded to what is shown: model after model millionths of credit and smallest
    units. The places add up to the totals.
    """
    places = list(part.numbers)
    columns: list[list[int]] = []
    for index, _ in enumerate(models):
        found = [part.numbers[place][3 * index : 3 * index + 3] for place in places]
        columns.append(micros_together([nanos for nanos, _, _ in found]))
        columns.append(round_together([_joined(whole, rest) for _, whole, rest in found], NANOS_PER_CONVERSION))
    rows = zip(*columns, strict=True) if places else ()
    totals = None if part.totals is None else [sum(column) for column in columns]
    return Part(dict(zip(places, rows, strict=True)), totals)


def _joined(whole: int, rest: int) -> int:
    return whole * NANOS_PER_CONVERSION + rest


def credits_by_model(numbers: Sequence[int] | None, models: Sequence[Model], currency: str) -> dict[str, Credit]:
    """Return the credits by model. `numbers`: of a `shown_part`; None: no credit."""
    found = numbers or [0] * (2 * len(models))
    return {
        model.value: {
            "credited_conversions": credit(found[2 * index]),
            "credited_value": money(found[2 * index + 1], currency),
        }
        for index, model in enumerate(models)
    }
