"""Query parameters of the conversion report, parsed into `ConversionQuery` and `FunnelQuery`. Pure."""

from typing import Annotated, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from schemas.control import App
from services.query.aggregates.counted_conversions import counted_of
from services.query.aggregates.parameters import ReportParameters
from services.query.core.parameters import NAME_PATTERN, Flag, Name, range_of, split_list
from services.query.reports.conversion.funnels import MIN_STEPS, FunnelQuery
from services.query.reports.conversion.statements import ConversionQuery
from services.web.errors import Text, invalid

WITHIN_HOURS: Final = 24 * 7
Steps = Annotated[
    tuple[Name, ...],
    BeforeValidator(split_list),
    Field(
        max_length=10,
        description="Event names (repeated or separated by commas), 2 to 10: adds a funnel of the people who did them "
        "in this order.",
    ),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "pattern": NAME_PATTERN},
            "minItems": 2,
            "maxItems": 10,
            "examples": [["page_view", "add_to_cart", "purchase"]],
        }
    ),
]


class ConversionReportParameters(ReportParameters):
    steps: Steps = ()
    within_hours: int | None = Field(
        None,
        ge=1,
        le=24 * 90,
        description=f"Of a funnel: so long after its first step a step may come, {WITHIN_HOURS} by default. Only with "
        "`steps`.",
    )
    by_channel: Flag = Field(False, description="Of a funnel: its steps by channel as well. Only with `steps`.")
    stopped_after: int | None = Field(
        None,
        ge=1,
        le=9,
        description="Of a funnel: list the people who did this step (1 is the first) and not the next. Only with "
        "`steps`.",
    )


def conversion_query(given: ConversionReportParameters, app: App) -> ConversionQuery:
    return ConversionQuery(counted_of(given.goal, given.currency, app), range_of(given, app), given.include_bots)


def funnel_query(given: ConversionReportParameters, app: App) -> FunnelQuery | None:
    if not given.steps:
        for name in ("within_hours", "by_channel", "stopped_after"):
            if getattr(given, name):
                raise invalid(name, Text("只能与 steps 同时使用", "only goes with `steps`"))
        return None
    if len(given.steps) < MIN_STEPS:
        raise invalid("steps", Text(f"至少 {MIN_STEPS} 个步骤", f"must have at least {MIN_STEPS} steps"))
    if given.stopped_after is not None and given.stopped_after >= len(given.steps):
        raise invalid("stopped_after", Text("必须是最后一步之前的步骤", "must be a step before the last"))
    window_seconds = (given.within_hours or WITHIN_HOURS) * 3600
    return FunnelQuery(
        given.steps, window_seconds, range_of(given, app), given.include_bots, given.by_channel, given.stopped_after
    )
