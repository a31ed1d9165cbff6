"""Query parameters that several resources have, and their parsing into zones and ranges. Pure.

A parameter that is not listed is refused: it is a typing mistake more often than not, and an answer that silently
ignored a filter would be wrong. Errors are `ApiError`s that name the parameter at fault.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema

from schemas.control import App
from services.query.core.cursors import MAX_CHARACTERS
from services.query.core.times import BadTime, TimeRange, parse_end, parse_start, parse_zone
from services.web.errors import Text, invalid

MAX_LIMIT: Final = 1_000
DEFAULT_LIMIT: Final = 100
NAME_PATTERN: Final = "^[a-z][a-z0-9_]{0,63}$"
_EXAMPLE_FROM: Final = "2024-01-01"
_EXAMPLE_TO: Final = "2024-01-31"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
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


Flag = Annotated[bool, Strict(), BeforeValidator(_flag)]


class ButBots(InRange):
    include_bots: Flag = Field(
        False, description="Count what bots did too: crawlers, monitors and others that their user agent tells of."
    )


class InPages(Parameters):
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Items on a page.")
    cursor: str | None = Field(
        None, max_length=MAX_CHARACTERS, description="`next_cursor` of the page before, with the same filters."
    )


class ListParameters(InRange, InPages):
    """Parameters that every list has."""


def split_list(value: Any) -> Any:
    """Split lists: `model=linear,last_click` and `model=linear&model=last_click` mean the same."""
    if not isinstance(value, list | tuple):
        return value
    return tuple(part for text in value for part in (text.split(",") if isinstance(text, str) else [text]))


T = TypeVar("T")


def zone_of(given: InZone, app: App) -> str:
    """Return the zone asked for, else the app's."""
    if given.tz is None:
        return app.timezone
    return _time("tz", lambda: parse_zone(given.tz or ""))


def range_of(given: InRange, app: App) -> TimeRange:
    zone = zone_of(given, app)
    start, end = given.from_, given.to
    from_ms = None if start is None else _time("from", lambda: parse_start(start, zone))
    to_ms = None if end is None else _time("to", lambda: parse_end(end, zone))
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise invalid("from", Text("必须早于 to", "must be before `to`"))
    return TimeRange(from_ms, to_ms)


def _time(name: str, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except BadTime as error:
        raise invalid(name, error.reason) from None
