"""Query parameters of the performance report, parsed into `PerformanceQuery`. Pure."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from schemas.control import App
from services.query.aggregates.counted_conversions import counted_of
from services.query.aggregates.credit_sums import Dimension
from services.query.aggregates.left_out_touches import LeftOut
from services.query.aggregates.parameters import Models, ReportParameters, check_choices, models_of
from services.query.core.parameters import range_of, split_list, zone_of
from services.query.reports.performance.periods import Granularity
from services.query.reports.performance.statements import PerformanceQuery
from services.web.errors import Text, invalid

PLACES: Final = (Dimension.CHANNEL, Dimension.SOURCE, Dimension.MEDIUM, Dimension.CAMPAIGN)
"""Dimensions that a report can be narrowed by: each has a parameter of its name."""


class Compare(StrEnum):
    PREVIOUS_PERIOD = "previous_period"


LeaveOut = Annotated[
    tuple[str, ...],
    BeforeValidator(split_list),
    Field(
        max_length=len(LeftOut),
        description="Credit as if these were no touches: `direct` visits, `impression`s. Their credit goes to the "
        "other touches of the same conversion, so a column adds up to the same total; a conversion with no other touch "
        "is credited to direct. Touches are counted all the same.",
    ),
    WithJsonSchema({"type": "array", "items": {"type": "string", "enum": [*LeftOut]}, "maxItems": len(LeftOut)}),
]
PlaceText = Annotated[str | None, Field(max_length=500)]


class PerformanceParameters(ReportParameters):
    model: Models = ()
    dimension: Dimension = Dimension.CHANNEL
    granularity: Granularity | None = Field(
        None, description="One row per period as well; absent: the whole range at once."
    )
    compare: Compare | None = Field(
        None, description="The same for the time of equal length before; takes `from` and `to`."
    )
    leave_out: LeaveOut = ()
    channel: PlaceText = Field(None, description="Only what this channel brought: a report of its sources, say.")
    source: PlaceText = Field(
        None,
        description="Only what this source brought; `channel`, `source`, `medium` and `campaign` hold "
        "together. Costs have no medium: with it there is no spend.",
    )
    medium: PlaceText = Field(None, description="Only what this medium brought.")
    campaign: PlaceText = Field(None, description="Only what this campaign brought: a report of its contents, say.")


def performance_query(given: PerformanceParameters, app: App) -> PerformanceQuery:
    time_range = range_of(given, app)
    if given.compare is not None and (time_range.from_ms is None or time_range.to_ms is None):
        raise invalid("compare", Text("需要同时给出 from 和 to", "takes both `from` and `to`"))
    check_choices("leave_out", given.leave_out, LeftOut)
    places = ((dimension, getattr(given, dimension)) for dimension in PLACES)
    return PerformanceQuery(
        dimension=given.dimension,
        models=models_of(given.model),
        counted=counted_of(given.goal, given.currency, app),
        zone=zone_of(given, app),
        granularity=given.granularity,
        time_range=time_range,
        has_previous=given.compare is not None,
        include_bots=given.include_bots,
        narrowed=tuple((dimension, value) for dimension, value in places if value is not None),
        left_out=tuple(kind for kind in LeftOut if kind in given.leave_out),
    )
