"""Query parameters of `/attribution`, parsed into `AttributionQuery`. Pure."""

from pydantic import Field

from schemas.control import App
from services.query.aggregates.counted_conversions import counted_of
from services.query.aggregates.credit_sums import Dimension
from services.query.aggregates.parameters import Models, ReportParameters, models_of
from services.query.attribution.statements import AttributionQuery
from services.query.core.parameters import RowId, range_of
from services.web.errors import Text, invalid


class AttributionParameters(ReportParameters):
    model: Models = ()
    dimension: Dimension | None = Field(None, description="By default `channel`.")
    conversion_id: RowId | None = Field(
        None,
        description="Explains this one conversion touch by touch; excludes `from`, `to`, `goal`, `dimension`, "
        "`currency` and `include_bots`.",
    )


def attribution_query(given: AttributionParameters, app: App) -> AttributionQuery:
    return AttributionQuery(
        dimension=given.dimension or Dimension.CHANNEL,
        models=models_of(given.model),
        counted=counted_of(given.goal, given.currency, app),
        time_range=range_of(given, app),
        include_bots=given.include_bots,
    )


def check_path_alone(given: AttributionParameters) -> None:
    """Refuse filters beside `conversion_id`, which asks about one conversion: choices among many have no meaning
    there.
    """
    others = {
        "from": given.from_,
        "to": given.to,
        "goal": given.goal,
        "dimension": given.dimension,
        "currency": given.currency,
        "include_bots": given.include_bots,
    }
    for name, value in others.items():
        if value:
            raise invalid(name, Text("不能与 conversion_id 同时使用", "cannot be combined with conversion_id"))
