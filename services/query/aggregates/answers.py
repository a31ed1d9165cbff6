"""Parts of the answers of `/attribution` and the reports: sums by goal, credit, and `meta`. Pure."""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from services.query.core.answers import META, Meta, Number, Refunded


class ReportMeta(Meta):
    goals: Annotated[
        list[str],
        Field(
            description="Conversions of these goals are counted: those asked for, else all goals but micro goals (one "
            "that the app has no more is named where the range has conversions of it). `by_goal` has the others."
        ),
    ]
    currency: Annotated[str, Field(description="Conversions and costs in this currency only are counted.")]
    other_currencies: Annotated[
        list[str], Field(description="Of conversions and costs that are left out; ask for them with `currency`.")
    ]


class GoalTotals(TypedDict):
    goal: str
    currency: str
    conversions: int
    value: Number
    refunded: Refunded
    is_counted: Annotated[
        bool,
        Field(
            description="In the other numbers of the report: of `meta.goals`, in `meta.currency`. Else it is in none."
        ),
    ]


ByGoal: TypeAlias = Annotated[
    list[GoalTotals],
    Field(
        description="All conversions of the range (of the goals asked for), for each goal and currency: those that are "
        "counted, and those that are left out."
    ),
]


class Credit(TypedDict):
    credited_conversions: Number
    credited_value: Number


REPORT_META: Final = {**META, "goals": ["purchase", "user_signup"], "currency": "CNY", "other_currencies": ["USD"]}


def example_by_goal(conversions: int, value: float) -> list[dict[str, Any]]:
    """Return the example of `by_goal` in a report with these totals."""
    beside = {"goal": "purchase", "currency": "USD", "conversions": 1, "value": 25.0, "refunded": 0.0}
    counted = {"goal": "purchase", "currency": "CNY", "conversions": conversions, "value": value, "refunded": 0.0}
    return [counted | {"is_counted": True}, beside | {"is_counted": False}]


def example_credit(conversions: float, value: float) -> dict[str, float]:
    return {"credited_conversions": conversions, "credited_value": value}
