"""The shapes of the reports' answers. Pure."""

from typing import Annotated, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from services.query.answers import ByGoal, Credit, Number, Refunded, ReportMeta, Text


class CostedCredit(Credit):
    cpa: Annotated[Number | None, Field(description="Spend per credited conversion. Null: no spend, or no credit.")]
    roas: Annotated[Number | None, Field(description="Credited value per unit of spend. Null: no spend.")]


class PerformanceNumbers(TypedDict):
    touches: int
    clicks: int
    impressions: int
    sessions: Annotated[int | None, Field(description="Null by touch_type: a session has none.")]
    users: Annotated[int | None, Field(description="People with such a session.")]
    conversions: Annotated[
        int | None, Field(description="Of `meta.goals` in `meta.currency`, by the session they happened in.")
    ]
    value: Number | None
    refunded: Annotated[Number | None, Field(description="Taken back by refunds; `value` is without it.")]
    conversion_rate: Annotated[Number | None, Field(description="Share of sessions with a conversion that is counted.")]
    spend: Annotated[
        Number | None,
        Field(
            description="Imported costs, each on its date, in the report's currency. Null: none were imported, or, in "
            "a row, the dimension is none that costs are given by (channel, source, campaign)."
        ),
    ]
    models: dict[str, CostedCredit]


Ratio: TypeAlias = Number | None


class CreditChange(TypedDict):
    credited_conversions: Ratio
    credited_value: Ratio


class Change(TypedDict):
    touches: Ratio
    clicks: Ratio
    impressions: Ratio
    sessions: Ratio
    users: Ratio
    conversions: Ratio
    value: Ratio
    spend: Ratio
    models: dict[str, CreditChange]


class PerformanceItem(PerformanceNumbers):
    period: Annotated[Text, Field(description="Its beginning; null without `granularity`.")]
    key: Annotated[Text, Field(description="The dimension's value; null: none.")]
    change: Annotated[
        Change | None,
        Field(description="From the row of this key at the same place in the period before; null: there is none."),
    ]


ComparedPeriod = TypedDict(
    "ComparedPeriod",
    {
        "from": Annotated[str, Field(description="Inclusive.")],
        "to": Annotated[str, Field(description="Exclusive: where the period asked for begins.")],
        "items": list[PerformanceItem],
        "totals": PerformanceNumbers,
    },
)


class PerformanceReport(TypedDict):
    dimension: str
    granularity: Text
    items: list[PerformanceItem]
    totals: PerformanceNumbers
    previous: Annotated[
        ComparedPeriod | None,
        Field(
            description="With `compare=previous_period`: of whole months the months before, of whole days as many "
            "days, else the time of equal length before."
        ),
    ]
    change: Annotated[
        Change | None,
        Field(description="Of the totals: the difference from the period before, divided by that; null: it was 0."),
    ]
    by_goal: ByGoal
    spend_by_currency: Annotated[
        dict[str, Number],
        Field(description="Imported costs of the range. `spend`, CPA and ROAS are of those in `meta.currency` alone."),
    ]
    meta: ReportMeta


class TimeToConvert(TypedDict):
    p50_seconds: Number | None
    p90_seconds: Number | None


class PathLength(TypedDict):
    touches: int
    conversions: int


class TopPath(TypedDict):
    channels: list[str]
    conversions: int
    value: Number


class ChannelCount(TypedDict):
    channel: str
    conversions: int


class ConversionNumbers(TypedDict):
    conversions: int
    users: int
    value: Number
    refunded: Refunded
    conversion_rate: Annotated[Number | None, Field(description="Share of the people active in the range.")]
    time_to_convert: Annotated[TimeToConvert, Field(description="From the path's first touch.")]
    path_lengths: list[PathLength]
    first_channels: list[ChannelCount]
    last_channels: list[ChannelCount]
    top_paths: Annotated[list[TopPath], Field(description="The ten most frequent, as sequences of channels.")]


class GoalItem(ConversionNumbers):
    """Conversions in the report's currency."""

    goal: str
    display_name: str
    goal_type: str
    is_counted: Annotated[bool, Field(description="In the totals.")]


class FunnelStep(TypedDict):
    event_name: str
    users: Annotated[int, Field(description="Who did this and all steps before it, in order.")]
    rate: Annotated[Number | None, Field(description="Share of those of the first step.")]
    rate_of_step_before: Annotated[Number | None, Field(description="Null: it is the first.")]


class Funnel(TypedDict):
    within_hours: int
    steps: list[FunnelStep]


class ConversionReport(TypedDict):
    items: list[GoalItem]
    totals: ConversionNumbers
    active_users: Annotated[int, Field(description="People with a session in the range.")]
    funnel: Annotated[Funnel | None, Field(description="With `steps`.")]
    by_goal: ByGoal
    meta: ReportMeta
