"""Funnels: the number of people at each of several steps in order. Pure.

Steps are event names. A person's chain begins with the first step and goes on with the next event of the next step,
whatever comes between, as long as it lies within the window after the beginning; events of one moment count in the
order of the steps. A step that stands in the funnel twice takes two events. Of all chains of a
person the longest counts (ClickHouse's `windowFunnel`). Events of a visitor who is known to be a user are the user's.
Events without user and visitor are left out: they follow nothing.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from schemas.persons import IS_SOMEBODY_SQL
from services.query.core.numbers import rate
from services.query.core.sql import Condition, Statement, Table, but_bots, one_of, source, statement, within
from services.query.core.times import ALL_TIME, TimeRange
from services.query.identity.person_links import owner_hashes
from services.query.reports.conversion.answers import Funnel, FunnelStep

MIN_STEPS: Final = 2


@dataclass(frozen=True)
class FunnelQuery:
    steps: tuple[str, ...]
    window_seconds: int
    time_range: TimeRange = ALL_TIME
    include_bots: bool = False


class FunnelRow(msgspec.Struct):
    reached: list[int]
    """Number of people who came to the first step, the second, …"""


_SOMEBODY: Final = Condition(IS_SOMEBODY_SQL)


def funnel_row(app_id: str, wanted: FunnelQuery) -> Statement[FunnelRow]:
    """Build the statement. Every event becomes a moment for each step it can be, in the order in which steps of one
    time are looked at.
    """
    steps = len(wanted.steps)
    conditions = [
        *one_of("event_name", tuple(dict.fromkeys(wanted.steps))),
        *within("timestamp_ms", wanted.time_range),
        _SOMEBODY,
        *but_bots(wanted.include_bots),
    ]
    met = ", ".join(f"step = {step}" for step in range(1, steps + 1))
    reached = ", ".join(f"countIf(steps_done >= {step})" for step in range(1, steps + 1))
    window = wanted.window_seconds * 1000 * steps + steps - 1
    sql = f"""SELECT [{reached}] AS reached FROM
(
    SELECT windowFunnel({window:d})(toUInt64(timestamp_ms * {steps} + {_order_of(wanted.steps)}[step]), {met})
        AS steps_done
    FROM
    (
        SELECT person_hash, timestamp_ms, step
        FROM (SELECT person_hash, timestamp_ms, event_name FROM {source(Table.EVENTS, conditions)})
        ARRAY JOIN arrayFilter(i -> {{steps:Array(String)}}[i] = event_name, range(1, {steps + 1})) AS step
    ) AS met
    LEFT ANY JOIN {owner_hashes()} AS owners USING (person_hash)
    GROUP BY if(owner_hash = 0, person_hash, owner_hash)
)"""
    return statement(FunnelRow, app_id, sql, conditions, steps=list(wanted.steps))


def _order_of(steps: tuple[str, ...]) -> list[int]:
    """Return for each step its place among the steps of one time. The second time a step stands in a funnel comes
    before the first, or one event would be both.
    """
    repeats = [index for index, name in enumerate(steps) if name in steps[:index]]
    firsts = [index for index in range(len(steps)) if index not in repeats]
    order = [*reversed(repeats), *firsts]
    return [order.index(index) for index in range(len(steps))]


def funnel_of(wanted: FunnelQuery, row: FunnelRow) -> Funnel:
    first = row.reached[0]
    steps: list[FunnelStep] = [
        {
            "event_name": name,
            "users": users,
            "rate": rate(users, first),
            "rate_of_step_before": None if index == 0 else rate(users, row.reached[index - 1]),
        }
        for index, (name, users) in enumerate(zip(wanted.steps, row.reached, strict=True))
    ]
    return {"within_hours": wanted.window_seconds // 3600, "steps": steps}
