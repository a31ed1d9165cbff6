"""Query parameters of `/attribution` and the reports: goals, currency and models. Pure."""

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from schemas.facts import Model
from services.query.core.parameters import ButBots, Currency, Names, split_list
from services.web.errors import Text, invalid

ALL_MODELS: Final = "all"
Models = Annotated[
    tuple[str, ...],
    BeforeValidator(split_list),
    Field(
        max_length=20,
        description="One or several of these (repeated or separated by commas), or `all`, which is the default. "
        "A click is an ad click, or a page with a paid click id or campaign tags; organic, referral and direct visits, "
        "impressions and views are none. "
        "`last_click`, `first_click`: all to the last (first) click; without a click to the last (first) touch that is "
        "not direct; else to direct. `linear`: equal shares. `time_decay`: half as much for every half-life of age. "
        "`position_based`: 40 % to the first, 40 % to the last, 20 % to all between (settable). `last_non_direct`: all "
        "to the last touch of any type that is not direct; else to direct. See MODELS.md.",
    ),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "enum": [*Model, ALL_MODELS]},
            "maxItems": 20,
            "examples": [["all"]],
        }
    ),
]


class ReportParameters(ButBots):
    goal: Names = Field(
        (),
        description="Count conversions of these goals (may be repeated); absent: of all but the app's micro goals.",
        examples=[["purchase"]],
    )
    currency: Currency | None = Field(
        None,
        description="Count conversions and costs in this currency; by default the app's. No answer adds currencies.",
    )


def check_choices(name: str, given: tuple[str, ...], choices: Iterable[str]) -> None:
    """Refuse a list with something that is none of the choices, naming the parameter."""
    known = list(choices)
    if any(each not in known for each in given):
        shown = ", ".join(known)
        raise invalid(name, Text(f"可选值：{shown}", f"must be one of: {shown}"))


def models_of(given: tuple[str, ...]) -> tuple[Model, ...]:
    """Return the models in the order of the documentation, each once; all of them for `all` or none given."""
    check_choices("model", given, (*Model, ALL_MODELS))
    return tuple(model for model in Model if not given or ALL_MODELS in given or model in given)
