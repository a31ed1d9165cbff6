"""Choice of the conversions that a report counts, and sums of all conversions by goal and currency beside it. Pure.

A report counts conversions of macro goals in one currency: a purchase and a video played, or dollars and yuan, added
up are a number of nothing, and so are CPA and ROAS of it. `by_goal` has a row for each goal and currency, those that
are left out too.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from schemas.control import MICRO, App
from services.query.aggregates.answers import GoalTotals, ReportMeta
from services.query.aggregates.report_parts import WHOLE_RANGE, PartSql, ReportRow, part_of
from services.query.core.answers import Meta
from services.query.core.numbers import money
from services.query.core.sql import Condition, none_of, one_of

BY_GOAL: Final = "by_goal"
IN_CURRENCY: Final = Condition("currency = {currency:String}")
"""`Counted.conditions` gives the parameter."""


@dataclass(frozen=True)
class Counted:
    """Conversions in `currency` of the goals asked for; if none are, of all goals but the app's micro goals."""

    currency: str
    asked_goals: tuple[str, ...] = ()
    macro_goals: tuple[str, ...] = ()
    micro_goals: tuple[str, ...] = ()

    def asked(self) -> list[Condition]:
        """Select what has a row in `by_goal`, counted or not."""
        return one_of("goal", self.asked_goals)

    def goals(self) -> list[Condition]:
        return self.asked() or none_of("goal", self.micro_goals)

    def conditions(self) -> list[Condition]:
        return [*self.goals(), replace(IN_CURRENCY, parameters={"currency": self.currency})]

    def has_goal(self, name: str) -> bool:
        return name in self.asked_goals if self.asked_goals else name not in self.micro_goals


def counted_of(asked_goals: tuple[str, ...], currency: str | None, app: App) -> Counted:
    """Return the choice for a question about an app; by default in the app's currency."""
    macro = tuple(goal.name for goal in app.goals if goal.goal_type != MICRO)
    return Counted(currency or app.currency, asked_goals, macro, app.micro_goals)


@dataclass(frozen=True)
class GoalSum:
    """Number and value of the conversions of one goal in one currency."""

    goal: str
    currency: str
    conversions: int
    value_minor: int
    """Value left after refunds."""
    refunded_minor: int


def by_goal_part(attributions: str) -> PartSql:
    """Return the part with the sums of `attributions`, a table expression."""
    return PartSql(
        BY_GOAL,
        f"SELECT {WHOLE_RANGE}, concat(currency, ' ', goal) AS key, value_minor, refunded_minor FROM {attributions}",
        ("count()", "sum(value_minor)", "sum(refunded_minor)"),
    )


def goal_sums(rows: Iterable[ReportRow]) -> list[GoalSum]:
    found = []
    for (_, key), numbers in part_of(rows, BY_GOAL).numbers.items():
        currency, _, goal = key.partition(" ")
        found.append(GoalSum(goal, currency, *numbers))
    return found


def by_goal(sums: Iterable[GoalSum], counted: Counted) -> list[GoalTotals]:
    """Return the rows of the answer: those that are counted first, then by their number."""
    found = [_totals(each, counted) for each in sums]
    return sorted(found, key=lambda row: (not row["is_counted"], -row["conversions"], row["goal"], row["currency"]))


def _totals(found: GoalSum, counted: Counted) -> GoalTotals:
    return {
        "goal": found.goal,
        "currency": found.currency,
        "conversions": found.conversions,
        "value": money(found.value_minor, found.currency),
        "refunded": money(found.refunded_minor, found.currency),
        "is_counted": found.currency == counted.currency and counted.has_goal(found.goal),
    }


def report_meta(meta: Meta, counted: Counted, rows: list[GoalTotals], spent_in: Iterable[str] = ()) -> ReportMeta:
    """Name what is counted in the answer. `spent_in`: currencies of costs."""
    goals = set(counted.asked_goals) or {*counted.macro_goals, *(row["goal"] for row in rows if row["is_counted"])}
    currencies = {*spent_in, *(row["currency"] for row in rows)}
    return {
        **meta,
        "goals": sorted(goals),
        "currency": counted.currency,
        "other_currencies": sorted(currencies - {counted.currency}),
    }
