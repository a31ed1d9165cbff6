"""Answer of the performance report: shapes and an example. Pure."""

from typing import Annotated, Final, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from services.query.aggregates.answers import REPORT_META, ByGoal, Credit, ReportMeta, example_by_goal, example_credit
from services.query.core.answers import Number, Text


class CostedCredit(Credit):
    cpa: Annotated[Number | None, Field(description="Spend per credited conversion. Null: no spend, or no credit.")]
    roas: Annotated[Number | None, Field(description="Credited value per unit of spend. Null: no spend.")]


class PerformanceNumbers(TypedDict):
    touches: int
    clicks: int
    impressions: int
    sessions: Annotated[
        int | None, Field(description="Null by content and touch_type: they are of touches, a session has none.")
    ]
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
    leave_out: Annotated[list[str], Field(description="Kinds of touches whose credit went to the others.")]
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


_PERFORMANCE: Final = {
    "touches": 120,
    "clicks": 80,
    "impressions": 40,
    "sessions": 75,
    "users": 60,
    "conversions": 3,
    "value": 597.0,
    "refunded": 0.0,
    "conversion_rate": 0.04,
    "spend": 150.0,
    "models": {"last_click": {**example_credit(3, 597), "cpa": 50.0, "roas": 3.98}},
}
_CHANGE: Final = {
    "touches": 0.2,
    "clicks": 0.142857,
    "impressions": 0.333333,
    "sessions": 0.25,
    "users": 0.2,
    "conversions": 0.5,
    "value": 0.5,
    "spend": None,
    "models": {"last_click": {"credited_conversions": 0.5, "credited_value": 0.5}},
}
EXAMPLE: Final = {
    "dimension": "channel",
    "granularity": "day",
    "leave_out": [],
    "items": [{"period": "2024-01-15T00:00:00+08:00", "key": "paid_search", "change": None, **_PERFORMANCE}],
    "totals": _PERFORMANCE,
    "previous": {
        "from": "2024-01-14T00:00:00.000+08:00",
        "to": "2024-01-15T00:00:00.000+08:00",
        "items": [{"period": "2024-01-14T00:00:00+08:00", "key": "paid_search", "change": None, **_PERFORMANCE}],
        "totals": _PERFORMANCE,
    },
    "change": _CHANGE,
    "by_goal": example_by_goal(3, 597.0),
    "spend_by_currency": {"CNY": 150.0, "USD": 20.0},
    "meta": REPORT_META,
}
