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

from schemas.persons import IS_SOMEBODY_SQL, id_of
from services.query.core.numbers import rate
from services.query.core.sql import Condition, Statement, Table, but_bots, one_of, source, statement, within
from services.query.core.times import ALL_TIME, TimeRange, time_in_zone
from services.query.identity.person_links import owner_hashes
from services.query.identity.sessions import LONGEST_SESSION_MS
from services.query.reports.conversion.answers import Funnel, FunnelStep

MIN_STEPS: Final = 2


@dataclass(frozen=True)
class FunnelQuery:
    steps: tuple[str, ...]
    window_seconds: int
    time_range: TimeRange = ALL_TIME
    include_bots: bool = False
    has_channels: bool = False
    """True if people are counted by channel as well."""
    stopped_after: int | None = None
    """Number of the step whose people who came no further are listed."""


class FunnelRow(msgspec.Struct):
    channel: str
    """Channel of the last session with an arrival that had begun when they first did the first step; empty: not asked
    for, or none.
    """
    reached: list[int]
    """Number of people who came to the first step, the second, …"""


class StoppedRow(msgspec.Struct):
    person_key: str
    """One of the keys of the person's events; a user's before those of anonymous ids."""
    first_ms: int


MAX_STOPPED: Final = 100
"""Maximum number of people listed."""


_SOMEBODY: Final = Condition(IS_SOMEBODY_SQL)


def funnel_rows(app_id: str, wanted: FunnelQuery) -> Statement[FunnelRow]:
    """Count the people who came to each step, by channel."""
    conditions, of_sessions = _of_events(wanted), _of_sessions(wanted) if wanted.has_channels else []
    reached = ", ".join(f"countIf(steps_done >= {step})" for step in range(1, len(wanted.steps) + 1))
    walked = f"({_walked(wanted, conditions)}) AS walked"
    if wanted.has_channels:
        walked += f""" ASOF LEFT JOIN
(
    SELECT person_hash, start_ms, channel FROM {source(Table.NARROW_SESSIONS, of_sessions)}
) AS sessions ON walked.person = sessions.person_hash AND walked.first_ms >= sessions.start_ms"""
    channel = "toString(channel)" if wanted.has_channels else "''"
    sql = f"SELECT {channel} AS channel, [{reached}] AS reached FROM {walked} GROUP BY channel"
    return statement(FunnelRow, app_id, sql, [*conditions, *of_sessions], steps=list(wanted.steps))


def stopped_rows(app_id: str, wanted: FunnelQuery) -> Statement[StoppedRow]:
    """List the people who came to the step `stopped_after` and no further, the newest first."""
    conditions = _of_events(wanted)
    sql = f"""SELECT person_key, first_ms FROM ({_walked(wanted, conditions, has_keys=True)})
WHERE steps_done = {{stopped_after:UInt8}} ORDER BY first_ms DESC, person_key LIMIT {MAX_STOPPED}"""
    bound = {"steps": list(wanted.steps), "stopped_after": wanted.stopped_after}
    return statement(StoppedRow, app_id, sql, conditions, **bound)


def _of_events(wanted: FunnelQuery) -> list[Condition]:
    return [
        *one_of("event_name", tuple(dict.fromkeys(wanted.steps))),
        *within("timestamp_ms", wanted.time_range),
        _SOMEBODY,
        *but_bots(wanted.include_bots),
    ]


def _of_sessions(wanted: FunnelQuery) -> list[Condition]:
    """Return the conditions of the sessions in which people can have begun."""
    found = [Condition("channel != ''")]
    if wanted.time_range.from_ms is not None:
        earliest = {"earliest_start_ms": wanted.time_range.from_ms - LONGEST_SESSION_MS}
        found.append(Condition("start_ms >= {earliest_start_ms:Int64}", earliest))
    if wanted.time_range.to_ms is not None:
        found.append(Condition("start_ms < {to_ms:Int64}"))
    return found


def _walked(wanted: FunnelQuery, conditions: list[Condition], has_keys: bool = False) -> str:
    """Select each person with the number of steps done and the time of the first. Every event becomes a moment for each
    step it can be, in the order in which steps of one time are looked at.
    """
    steps = len(wanted.steps)
    met = ", ".join(f"step = {step}" for step in range(1, steps + 1))
    window = wanted.window_seconds * 1000 * steps + steps - 1
    key = ", person_key" if has_keys else ""
    return f"""
    SELECT if(owner_hash = 0, person_hash, owner_hash) AS person, minIf(timestamp_ms, step = 1) AS first_ms,
        windowFunnel({window:d})(toUInt64(timestamp_ms * {steps} + {_order_of(wanted.steps)}[step]), {met})
        AS steps_done{", max(person_key) AS person_key" if key else ""}
    FROM
    (
        SELECT person_hash, timestamp_ms, step{key}
        FROM (SELECT person_hash, timestamp_ms, event_name{key} FROM {source(Table.EVENTS, conditions)})
        ARRAY JOIN arrayFilter(i -> {{steps:Array(String)}}[i] = event_name, range(1, {steps + 1})) AS step
    ) AS met
    LEFT ANY JOIN {owner_hashes()} AS owners USING (person_hash)
    GROUP BY person
    HAVING steps_done > 0"""


def _order_of(steps: tuple[str, ...]) -> list[int]:
    """Return for each step its place among the steps of one time. The second time a step stands in a funnel comes
    before the first, or one event would be both.
    """
    repeats = [index for index, name in enumerate(steps) if name in steps[:index]]
    firsts = [index for index in range(len(steps)) if index not in repeats]
    order = [*reversed(repeats), *firsts]
    return [order.index(index) for index in range(len(steps))]


def funnel_of(wanted: FunnelQuery, rows: list[FunnelRow], stopped: list[StoppedRow], zone: str) -> Funnel:
    by_channel = sorted(rows, key=lambda row: ([-users for users in row.reached], row.channel))
    return {
        "within_hours": wanted.window_seconds // 3600,
        "steps": _steps(wanted, [sum(row.reached[step] for row in rows) for step in range(len(wanted.steps))]),
        "by_channel": [{"channel": row.channel or None, "steps": _steps(wanted, row.reached)} for row in by_channel]
        if wanted.has_channels
        else None,
        "stopped": [{"id": id_of(row.person_key), "first_at": time_in_zone(row.first_ms, zone)} for row in stopped]
        if wanted.stopped_after is not None
        else None,
    }


def _steps(wanted: FunnelQuery, reached: list[int]) -> list[FunnelStep]:
    return [
        {
            "event_name": name,
            "users": users,
            "rate": rate(users, reached[0]),
            "rate_of_step_before": None if index == 0 else rate(users, reached[index - 1]),
        }
        for index, (name, users) in enumerate(zip(wanted.steps, reached, strict=True))
    ]
