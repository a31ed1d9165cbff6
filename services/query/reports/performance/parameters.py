"""Query parameters of the performance report, parsed into `PerformanceQuery`. Pure."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from schemas.control import App
from services.query.aggregates.counted_conversions import counted_of
from services.query.aggregates.credit_sums import Dimension
from services.query.aggregates.parameters import Models, ReportParameters, models_of
from services.query.core.parameters import range_of, zone_of
from services.query.reports.performance.periods import Granularity
from services.query.reports.performance.statements import PerformanceQuery
from services.web.errors import Text, invalid

PLACES: Final = (Dimension.CHANNEL, Dimension.SOURCE, Dimension.MEDIUM, Dimension.CAMPAIGN)
"""Dimensions that a report can be narrowed by: each has a parameter of its name."""


class Compare(StrEnum):
    PREVIOUS_PERIOD = "previous_period"


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
    )
