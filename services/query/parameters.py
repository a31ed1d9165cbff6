"""The query parameters of every route, as a caller writes them: names, limits, words for the OpenAPI document.

A parameter that is not listed is refused: it is a typing mistake more often than not, and an answer that silently
ignored a filter would be wrong. `arguments` turns these texts into the typed questions the pure modules take.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema

from schemas.facts import Model
from services.query.credits import Dimension
from services.query.cursors import MAX_CHARACTERS
from services.query.periods import Granularity

ALL_MODELS: Final = "all"
MAX_LIMIT: Final = 1_000
DEFAULT_LIMIT: Final = 100
PROPERTY_PREFIX: Final = "property."
MAX_PROPERTIES: Final = 10
MAX_PROPERTY_CHARACTERS: Final = 1_000
WITHIN_HOURS: Final = 24 * 7
_NAME_PATTERN: Final = "^[a-z][a-z0-9_]{0,63}$"
_EXAMPLE_FROM: Final = "2024-01-01"
_EXAMPLE_TO: Final = "2024-01-31"

Name = Annotated[str, Field(pattern=_NAME_PATTERN)]
Names = Annotated[tuple[Name, ...], Field(max_length=50)]
PersonId = Annotated[str, Field(min_length=1, max_length=200)]
RowId = Annotated[str, Field(min_length=1, max_length=128)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", examples=["CNY"])]
Amount = Annotated[
    Decimal,
    Field(ge=0, le=10**12, allow_inf_nan=False),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 10**12}),
]
Time = Annotated[
    str,
    Field(max_length=64),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}),
]
Zone = Annotated[str, Field(max_length=64), WithJsonSchema({"type": "string", "format": "iana-time-zone"})]


Code = Annotated[str, Field(pattern="^[A-Z][A-Z_]{0,63}$")]


class Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InZone(Parameters):
    tz: Zone | None = Field(
        None,
        description="IANA time zone in which dates and periods are meant, and times are given; by default the app's.",
        examples=["Asia/Shanghai"],
    )


class InRange(InZone):
    from_: Time | None = Field(
        None,
        alias="from",
        description="RFC 3339 time or a date, inclusive; absent: from the beginning. From 1970 to 2199.",
        examples=[_EXAMPLE_FROM],
    )
    to: Time | None = Field(
        None,
        description="RFC 3339 time, exclusive, or a date, to the end of that day; absent: to the end. After `from`.",
        examples=[_EXAMPLE_TO],
    )


def _flag(value: Any) -> Any:
    """`true` and `false` in any other spelling are mistakes."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


class ButBots(InRange):
    include_bots: Annotated[bool, Strict(), BeforeValidator(_flag)] = Field(
        False, description="Count what bots did too: crawlers, monitors and others that their user agent tells of."
    )


class InPages(Parameters):
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Items on a page.")
    cursor: str | None = Field(
        None, max_length=MAX_CHARACTERS, description="`next_cursor` of the page before, with the same filters."
    )


class UserEventsParameters(InRange, InPages):
    event_name: Names = Field((), description="May be repeated: any of them.", examples=[["page_view"]])


class EventsParameters(UserEventsParameters):
    """Parameters of events. Also takes `property.<name>=<value>`: pydantic keeps them in `model_extra`, `arguments`
    looks at their names.
    """

    model_config = ConfigDict(extra="allow")

    user_id: PersonId | None = None
    anonymous_id: PersonId | None = None
    session_id: RowId | None = None
    awaiting_order: bool = Field(
        False, description="Only refunds that name an order of which no conversion is known (yet)."
    )


class RejectedParameters(InRange, InPages):
    """Parameters of rejected events: `from` and `to` are about when something was refused."""

    code: Annotated[tuple[Code, ...], Field(max_length=20)] = Field(
        (), description="May be repeated: any of them.", examples=[["INVALID_EVENT_NAME"]]
    )
    field: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None,
        description="The field's path in the event, wherever in its batch that stood: `user_id` also finds "
        "`events[3].user_id`.",
        examples=["user_id"],
    )


class CostsParameters(InRange, InPages):
    """Parameters of costs: `from` and `to` are about the dates of the costs."""


class UsersParameters(ButBots, InPages):
    """Parameters of users: `from` and `to` are about when a user was first seen."""


class ConversionsParameters(ButBots, InPages):
    goal: Names = Field((), description="May be repeated: any of them.", examples=[["purchase"]])
    user_id: PersonId | None = None
    currency: Currency | None = Field(None, description="Only conversions in it.")
    min_value: Amount | None = Field(
        None,
        description="In whole units of `currency`, by default the app's; conversions in other currencies are left out.",
    )


def _split(value: Any) -> Any:
    """Split lists: `model=linear,last_click` and `model=linear&model=last_click` mean the same."""
    if not isinstance(value, list | tuple):
        return value
    return tuple(part for text in value for part in (text.split(",") if isinstance(text, str) else [text]))


Models = Annotated[
    tuple[str, ...],
    BeforeValidator(_split),
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


Steps = Annotated[
    tuple[Name, ...],
    BeforeValidator(_split),
    Field(
        max_length=10,
        description="Event names (repeated or separated by commas), 2 to 10: adds a funnel of the people who did them "
        "in this order.",
    ),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "pattern": _NAME_PATTERN},
            "minItems": 2,
            "maxItems": 10,
            "examples": [["page_view", "add_to_cart", "purchase"]],
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


class AttributionParameters(ReportParameters):
    model: Models = ()
    dimension: Dimension | None = Field(None, description="By default `channel`.")
    conversion_id: RowId | None = Field(
        None,
        description="Explains this one conversion touch by touch; excludes `from`, `to`, `goal`, `dimension`, "
        "`currency` and `include_bots`.",
    )


class Compare(StrEnum):
    PREVIOUS_PERIOD = "previous_period"


class PerformanceParameters(ReportParameters):
    model: Models = ()
    dimension: Dimension = Dimension.CHANNEL
    granularity: Granularity | None = Field(
        None, description="One row per period as well; absent: the whole range at once."
    )
    compare: Compare | None = Field(
        None, description="The same for the time of equal length before; takes `from` and `to`."
    )


class ConversionReportParameters(ReportParameters):
    steps: Steps = ()
    within_hours: int | None = Field(
        None,
        ge=1,
        le=24 * 90,
        description=f"Of a funnel: so long after its first step a step may come, {WITHIN_HOURS} by default. Only with "
        "`steps`.",
    )
