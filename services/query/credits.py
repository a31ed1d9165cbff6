"""Sums of attribution credit per value of a dimension and model, shared by `/attribution` and the reports. Pure.

An `attributions` row holds a conversion's touches and each model's credits as parallel arrays. Unfolded and summed as
integers, a model's credits add up to the number of conversions and its values to theirs, to the last unit. The models
stand side by side as columns: unfolded too, they would make six rows of each touch.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from schemas.facts import Model
from services.query.answers import Credit
from services.query.numbers import credit, money

MAX_REPORT_ROWS: Final = 10_000
"""Of an answer. A report that would be longer is refused: cut short, its rows would not add up to its totals."""


class Dimension(StrEnum):
    CHANNEL = "channel"
    SOURCE = "source"
    MEDIUM = "medium"
    CAMPAIGN = "campaign"
    TOUCH_TYPE = "touch_type"


_ARRAYS: Final = {
    Dimension.CHANNEL: "channels",
    Dimension.SOURCE: "sources",
    Dimension.MEDIUM: "mediums",
    Dimension.CAMPAIGN: "campaigns",
    Dimension.TOUCH_TYPE: "touch_types",
}


def credit_columns(dimension: Dimension, models: Sequence[Model]) -> str:
    """For the rows of `attributions`: `keys`, and per model the arrays `nanos_<i>` and `minors_<i>` beside them."""
    parts = [f"{_ARRAYS[dimension]} AS keys"]
    for index, model in enumerate(models):
        parts.append(f"arrayResize(credits_nanos['{model.value}'], length(keys)) AS nanos_{index}")
        parts.append(f"arrayResize(values_minor['{model.value}'], length(keys)) AS minors_{index}")
    return ", ".join(parts)


def unfolded(rows: str, models: Sequence[Model]) -> str:
    """`rows`, a table expression with `credit_columns`, `is_previous`, `period` and `currency`: one row per touch, with
    its `key`, `nano_<i>` and `minor_<i>`."""
    names, joined = ["is_previous", "period", "currency", "key"], ["keys AS key"]
    for index, _ in enumerate(models):
        names += [f"nano_{index}", f"minor_{index}"]
        joined += [f"nanos_{index} AS nano_{index}", f"minors_{index} AS minor_{index}"]
    return f"SELECT {', '.join(names)} FROM {rows} ARRAY JOIN {', '.join(joined)}"


def credit_sums(models: Sequence[Model]) -> tuple[str, ...]:
    """Billionths and smallest units of the currency asked for, model after model."""
    numbers: list[str] = []
    for index, _ in enumerate(models):
        numbers += [f"sum(nano_{index})", f"sumIf(minor_{index}, currency = {{currency:String}})"]
    return tuple(numbers)


def credits_by_model(numbers: Sequence[int] | None, models: Sequence[Model], currency: str) -> dict[str, Credit]:
    """`numbers`: what `credit_sums` gave; None: no credit."""
    found = numbers or [0] * (2 * len(models))
    return {
        model.value: {
            "credited_conversions": credit(found[2 * index]),
            "credited_value": money(found[2 * index + 1], currency),
        }
        for index, model in enumerate(models)
    }
