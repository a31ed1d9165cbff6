"""Answer of the conversion report: shapes and an example. Pure."""

from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict

from services.query.aggregates.answers import REPORT_META, ByGoal, ReportMeta, example_by_goal
from services.query.core.answers import Number, Refunded, Text


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


class FunnelOfChannel(TypedDict):
    channel: Annotated[
        Text,
        Field(description="Of the last session with an arrival that had begun when they first did the first step."),
    ]
    steps: list[FunnelStep]


class Stopped(TypedDict):
    id: Annotated[str, Field(description="An id of the person, for `/users/{user_id}`.")]
    first_at: Annotated[str, Field(description="When they first did the first step.")]


class Funnel(TypedDict):
    within_hours: int
    steps: list[FunnelStep]
    by_channel: Annotated[list[FunnelOfChannel] | None, Field(description="With `by_channel`: they add up to `steps`.")]
    stopped: Annotated[
        list[Stopped] | None,
        Field(description="With `stopped_after`: the newest 100 people who did that step and not the next."),
    ]


class ConversionReport(TypedDict):
    items: list[GoalItem]
    totals: ConversionNumbers
    active_users: Annotated[int, Field(description="People with a session in the range.")]
    funnel: Annotated[Funnel | None, Field(description="With `steps`.")]
    by_goal: ByGoal
    meta: ReportMeta


_GOAL: Final = {
    "conversions": 3,
    "users": 3,
    "value": 597.0,
    "refunded": 0.0,
    "conversion_rate": 0.05,
    "time_to_convert": {"p50_seconds": 86400.0, "p90_seconds": 604800.0},
    "path_lengths": [{"touches": 1, "conversions": 1}, {"touches": 3, "conversions": 2}],
    "first_channels": [{"channel": "paid_search", "conversions": 3}],
    "last_channels": [{"channel": "direct", "conversions": 2}, {"channel": "paid_search", "conversions": 1}],
    "top_paths": [{"channels": ["paid_search", "paid_social", "direct"], "conversions": 2, "value": 398.0}],
}
EXAMPLE: Final = {
    "items": [{"goal": "purchase", "display_name": "购买", "goal_type": "macro", "is_counted": True, **_GOAL}],
    "totals": _GOAL,
    "active_users": 60,
    "funnel": {
        "within_hours": 168,
        "steps": [
            {"event_name": "page_view", "users": 60, "rate": 1.0, "rate_of_step_before": None},
            {"event_name": "purchase", "users": 3, "rate": 0.05, "rate_of_step_before": 0.05},
        ],
        "by_channel": None,
        "stopped": [{"id": "user_1", "first_at": "2024-01-15T10:00:00.000+08:00"}],
    },
    "by_goal": example_by_goal(3, 597.0),
    "meta": REPORT_META,
}
