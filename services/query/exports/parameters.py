"""Requests for exports: a report, its filters, a format. The body of `POST /v1/reports/export`. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError

from schemas.control import Plan
from schemas.facts import Model
from services.query.aggregates.credit_sums import Dimension
from services.query.aggregates.left_out_touches import LeftOut
from services.query.core.parameters import Amount, Currency, Name, PersonId, RowId, Time, Zone
from services.query.events.parameters import MAX_PROPERTIES, MAX_PROPERTY_CHARACTERS
from services.query.reports.performance.parameters import Compare, PlaceText
from services.query.reports.performance.periods import Granularity
from services.web.errors import ApiError, Text, invalid, missing
from services.web.handlers import validation_error

MAX_BODY_BYTES: Final = 64 * 1024
ROW_LIMITS: Final[Mapping[Plan, int]] = {Plan.FREE: 10_000, Plan.PRO: 1_000_000, Plan.ENTERPRISE: 100_000_000}
"""Maximum number of rows of one file."""


class FileFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Compression(StrEnum):
    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RangeFilters(_Body):
    tz: Zone | None = Field(None, description="In which dates are meant; by default the app's.")
    from_: Time | None = Field(None, alias="from", description="RFC 3339 time or a date, inclusive.")
    to: Time | None = Field(None, description="RFC 3339 time, exclusive, or a date, to the end of that day.")


class BotFilters(RangeFilters):
    include_bots: bool = Field(False, description="With what bots did; a column `is_bot` tells.")


_PropertyText = Annotated[str, Field(max_length=MAX_PROPERTY_CHARACTERS)]
_PropertyName = Annotated[str, Field(min_length=1, max_length=MAX_PROPERTY_CHARACTERS)]


_Amount = Annotated[Amount, PlainSerializer(float, return_type=float, when_used="json")]


class EventsFilters(RangeFilters):
    event_name: Annotated[list[Name], Field(max_length=50)] = []
    user_id: PersonId | None = None
    anonymous_id: PersonId | None = None
    session_id: RowId | None = None
    properties: Annotated[dict[_PropertyName, _PropertyText], Field(max_length=MAX_PROPERTIES)] = Field(
        default={}, description="As `property.<name>=<value>` of `GET /events`."
    )


class GoalFilters(BotFilters):
    goal: Annotated[list[Name], Field(max_length=50)] = []


class ConversionsFilters(GoalFilters):
    user_id: PersonId | None = None
    currency: Currency | None = Field(None, description="Only conversions in it.")
    min_value: _Amount | None = Field(
        None,
        description="In whole units of `currency`, by default the app's; conversions in other currencies are left out.",
    )


class AttributionFilters(GoalFilters):
    currency: Currency | None = Field(None, description="Only conversions in it.")
    model: Annotated[list[Model], Field(max_length=20)] = Field(
        default=[], description="Which have columns; by default all."
    )
    conversion_id: RowId | None = None


class PerformanceFilters(GoalFilters):
    currency: Currency | None = Field(None, description="By default the app's.")
    model: Annotated[list[Model], Field(max_length=20)] = Field(default=[], description="By default all.")
    dimension: Dimension = Dimension.CHANNEL
    granularity: Granularity | None = None
    compare: Compare | None = Field(
        None,
        description="Adds columns with the change from the period before, and the rows of that period, with "
        "`is_previous` true; takes `from` and `to`.",
    )
    leave_out: Annotated[list[LeftOut], Field(max_length=len(LeftOut))] = Field(
        default=[], description="Credit as if these were no touches, as in the report."
    )
    channel: PlaceText = Field(None, description="Only what this channel brought, as in the report.")
    source: PlaceText = Field(None, description="Only what this source brought.")
    medium: PlaceText = Field(None, description="Only what this medium brought.")
    campaign: PlaceText = Field(None, description="Only what this campaign brought.")


class _Export(_Body):
    format: FileFormat
    compression: Compression = Field(
        Compression.NONE, description="Of the whole file; of Parquet, inside it, so that it can still be read in parts."
    )
    spreadsheet: bool = Field(
        False,
        description="Only with `csv`: a file to open in a spreadsheet. It begins with a byte order mark (UTF-8); times "
        "are local, to the second and without offset, in the zone `tz` of the filters, by default the app's "
        "(`2024-01-15 18:30:00`); and text that begins with `=`, `+`, `-`, `@`, a tab, a line break or the wide form "
        "of one of the signs gets an apostrophe in front, so that it is not read as a formula. Numbers stay numbers. "
        "Without it times are in UTC, to the millisecond, and text is exactly what was sent: what machines want.",
    )


class EventsExport(_Export):
    report: Literal["events"]
    filters: EventsFilters = EventsFilters.model_validate({})


class SessionsExport(_Export):
    report: Literal["sessions"]
    filters: BotFilters = BotFilters.model_validate({})


class TouchesExport(_Export):
    report: Literal["touches"]
    filters: BotFilters = BotFilters.model_validate({})


class ConversionsExport(_Export):
    report: Literal["conversions"]
    filters: ConversionsFilters = ConversionsFilters.model_validate({})


class AttributionExport(_Export):
    """One row for each touch that has a conversion's credit, with its share under every model. The values of all
    dimensions are columns, so there is no `dimension` to choose."""

    report: Literal["attribution"]
    filters: AttributionFilters = AttributionFilters.model_validate({})


class UsersExport(_Export):
    """Filters of users: `from` and `to` are about when somebody was first seen."""

    report: Literal["users"]
    filters: BotFilters = BotFilters.model_validate({})


class PerformanceExport(_Export):
    """Request for the rows of `GET /reports/performance`, with the same filters."""

    report: Literal["performance"]
    filters: PerformanceFilters = PerformanceFilters.model_validate({})


AnyExport = (
    EventsExport
    | SessionsExport
    | TouchesExport
    | ConversionsExport
    | AttributionExport
    | UsersExport
    | PerformanceExport
)
_ADAPTER: Final[TypeAdapter[AnyExport]] = TypeAdapter(Annotated[AnyExport, Field(discriminator="report")])
REPORTS: Final = ("events", "sessions", "touches", "conversions", "attribution", "users", "performance")


def parse_export(body: bytes) -> AnyExport:
    """Parse a request. Raises `ApiError` naming the field at fault."""
    try:
        export = _ADAPTER.validate_json(body, strict=True)
    except ValidationError as error:
        raise _as_api_error(error) from None
    except RecursionError:
        raise invalid("body", _NOT_JSON) from None
    if export.spreadsheet and export.format is not FileFormat.CSV:
        raise invalid("spreadsheet", Text("只能与 format=csv 同时使用", "only goes with the format csv"))
    return export


_NOT_JSON: Final = Text("不是有效的 JSON 对象", "it is not a JSON object")


def _as_api_error(error: ValidationError) -> ApiError:
    first: dict[str, Any] = dict(error.errors(include_url=False)[0])
    if first["type"] == "union_tag_not_found":
        return missing("report")
    if first["type"] == "union_tag_invalid":
        choices = ", ".join(REPORTS)
        return invalid("report", Text(f"可选值：{choices}", f"must be one of: {choices}"))
    place = tuple(first["loc"])
    if place and place[0] in REPORTS:
        place = place[1:]
    if not place or first["type"] == "json_invalid":
        return invalid("body", _NOT_JSON)
    found = validation_error(first | {"loc": ("body", *place)})
    if (found.reason is not None and not found.reason.zh.isascii()) or found.reason is None:
        return found
    return invalid(found.field, Text("类型或格式不正确", found.reason.en))


def stored(export: AnyExport) -> dict[str, Any]:
    """Encode the request for the job to store."""
    return export.model_dump(mode="json", by_alias=True, exclude_none=True)


def restored(request: Mapping[str, Any]) -> AnyExport:
    return _ADAPTER.validate_python(dict(request))


def body_schema() -> dict[str, Any]:
    """Return the schema of the body for the OpenAPI document, without references."""
    schema = _ADAPTER.json_schema(by_alias=True)
    inlined: dict[str, Any] = _inlined(schema, schema.pop("$defs"))
    return inlined


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(part, definitions) for name, part in schema.items() if name != "discriminator"}
