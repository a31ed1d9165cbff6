"""The performance report: touches, sessions, conversions and credit side by side, per dimension and period. Pure.

Each part is one query whose rows and totals come from the same reading: touches by their own time; sessions by their
start; conversions by their own time, under the channel (source, …) of the session they happened in; credit by the
conversion's time, under the channel of the credited touch. So both kinds of conversions add up to the same number.
"""

from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from schemas.facts import Model, TouchType
from services.query.answers import PerformanceItem, PerformanceNumbers, PerformanceReport, ReportMeta
from services.query.conversions import NET_VALUE
from services.query.credits import MAX_REPORT_ROWS, CreditRow, Dimension, credits_by_model, sum_credits
from services.query.numbers import money, rate
from services.query.periods import Granularity, period_sql, zone_parameters
from services.query.sql import Condition, Statement, Table, one_of, source, statement, within
from services.query.times import TimeRange, local_text

_LONGEST_SESSION_MS: Final = 48 * 3600 * 1000
"""Sessions last 24 h at most; a conversion's session began no earlier than this before it."""


@dataclass(frozen=True)
class PerformanceQuery:
    dimension: Dimension
    models: tuple[Model, ...]
    currency: str
    zone: str
    granularity: Granularity | None = None
    goals: tuple[str, ...] = ()
    time_range: TimeRange = field(default_factory=TimeRange)


class TouchNumbers(msgspec.Struct):
    is_total: bool
    period: int
    key: str
    touch_count: int
    click_count: int
    impression_count: int


class SessionNumbers(msgspec.Struct):
    is_total: bool
    period: int
    key: str
    session_count: int
    user_count: int
    converted_session_count: int


class ConversionCounts(msgspec.Struct):
    is_total: bool
    period: int
    key: str
    conversion_count: int
    total_minor: int
    total_refunded_minor: int
    currencies: list[str]


@dataclass(frozen=True)
class PerformanceFacts:
    touches: list[TouchNumbers]
    sessions: list[SessionNumbers]
    conversions: list[ConversionCounts]
    credits: list[CreditRow]


NumbersT = TypeVar("NumbersT", TouchNumbers, SessionNumbers, ConversionCounts)
_GROUPED: Final = (
    "GROUP BY GROUPING SETS ((period, key), ()) ORDER BY is_total DESC, period, key LIMIT {row_limit:UInt32}"
)


def touch_numbers(app_id: str, wanted: PerformanceQuery) -> Statement[TouchNumbers]:
    conditions = within("touched_at_ms", wanted.time_range)
    sql = f"""SELECT toBool(grouping(key)) AS is_total, period, key,
    count() AS touch_count,
    countIf(touch_type = '{TouchType.CLICK}') AS click_count,
    countIf(touch_type = '{TouchType.IMPRESSION}') AS impression_count
FROM
(
    SELECT {period_sql("touched_at_ms", wanted.granularity)} AS period, {wanted.dimension} AS key, touch_type
    FROM {source(Table.TOUCHES, conditions)}
)
{_GROUPED}"""
    return statement(TouchNumbers, app_id, sql, conditions, **_shared(wanted))


def session_numbers(app_id: str, wanted: PerformanceQuery) -> Statement[SessionNumbers]:
    conditions = within("start_ms", wanted.time_range)
    converted, converted_conditions = _has_converted(wanted)
    sql = f"""SELECT toBool(grouping(key)) AS is_total, period, key,
    count() AS session_count,
    uniqExact(person_key) AS user_count,
    countIf(has_converted) AS converted_session_count
FROM
(
    SELECT {period_sql("start_ms", wanted.granularity)} AS period, {_session_key(wanted.dimension)} AS key, person_key,
        {converted} AS has_converted
    FROM {source(Table.SESSIONS, conditions)}
)
{_GROUPED}"""
    return statement(SessionNumbers, app_id, sql, [*conditions, *converted_conditions], **_shared(wanted))


def _has_converted(wanted: PerformanceQuery) -> tuple[str, list[Condition]]:
    """Whether a session holds a conversion: of any goal, or of the goals asked for."""
    if not wanted.goals:
        return "conversions > 0", []
    conditions = one_of("goal", wanted.goals)
    return f"session_id IN (SELECT session_id FROM {source(Table.CONVERSIONS, conditions)})", conditions


def conversion_counts(app_id: str, wanted: PerformanceQuery) -> Statement[ConversionCounts]:
    conditions = [*one_of("goal", wanted.goals), *within("converted_at_ms", wanted.time_range)]
    session_conditions = _possible_sessions(wanted.time_range)
    sql = f"""SELECT toBool(grouping(key)) AS is_total, period, key,
    count() AS conversion_count,
    sumIf(net_minor, currency = {{currency:String}}) AS total_minor,
    sumIf(refunded_minor, currency = {{currency:String}}) AS total_refunded_minor,
    arraySort(groupUniqArrayIf(currency, currency NOT IN ('', {{currency:String}}))) AS currencies
FROM
(
    SELECT {period_sql("converted_at_ms", wanted.granularity)} AS period, session_id, {NET_VALUE} AS net_minor,
        refunded_minor, currency
    FROM {source(Table.CONVERSIONS, conditions)}
) AS converted
LEFT JOIN
(
    SELECT session_id, {_session_key(wanted.dimension)} AS key
    FROM {source(Table.SESSIONS, session_conditions)}
) AS visited USING (session_id)
{_GROUPED}"""
    bound = _shared(wanted) | {"currency": wanted.currency}
    return statement(ConversionCounts, app_id, sql, [*conditions, *session_conditions], **bound)


def _possible_sessions(time_range: TimeRange) -> list[Condition]:
    """The sessions a conversion in the range can have happened in."""
    found = []
    if time_range.from_ms is not None:
        earliest = time_range.from_ms - _LONGEST_SESSION_MS
        found.append(Condition("start_ms >= {earliest_start_ms:Int64}", {"earliest_start_ms": earliest}))
    if time_range.to_ms is not None:
        found.append(Condition("start_ms < {latest_start_ms:Int64}", {"latest_start_ms": time_range.to_ms}))
    return found


def _session_key(dimension: Dimension) -> str:
    """A session has no touch type: it counts in the totals alone."""
    return "materialize('')" if dimension is Dimension.TOUCH_TYPE else dimension.value


def credit_rows(app_id: str, wanted: PerformanceQuery) -> Statement[CreditRow]:
    return sum_credits(
        app_id,
        dimension=wanted.dimension,
        models=wanted.models,
        currency=wanted.currency,
        time_range=wanted.time_range,
        goals=wanted.goals,
        granularity=wanted.granularity,
        zone=wanted.zone,
    )


def _shared(wanted: PerformanceQuery) -> dict[str, Any]:
    return {"row_limit": MAX_REPORT_ROWS + 2} | zone_parameters(wanted.granularity, wanted.zone)


def other_currencies(facts: PerformanceFacts) -> list[str]:
    return next((row.currencies for row in facts.conversions if row.is_total), [])


def performance_report(wanted: PerformanceQuery, facts: PerformanceFacts, meta: ReportMeta) -> PerformanceReport:
    """Items by period, then by key as the first model credits them, greatest first."""
    places = _places(wanted, facts)
    touches, sessions, conversions = _by_place(facts.touches), _by_place(facts.sessions), _by_place(facts.conversions)
    credits: dict[tuple[int, str], list[CreditRow]] = {}
    for row in facts.credits:
        if not row.is_total:
            credits.setdefault((row.period, row.key), []).append(row)
    items: list[PerformanceItem] = []
    for place in places:
        numbers = _numbers(
            wanted, touches.get(place), sessions.get(place), conversions.get(place), credits.get(place, [])
        )
        period = local_text(place[0], wanted.zone) if wanted.granularity else None
        items.append({"period": period, "key": place[1] or None, **_of_row(wanted, numbers)})
    return {
        "dimension": wanted.dimension.value,
        "granularity": wanted.granularity.value if wanted.granularity else None,
        "items": items,
        "totals": _totals(wanted, facts),
        "meta": meta,
    }


def _places(wanted: PerformanceQuery, facts: PerformanceFacts) -> list[tuple[int, str]]:
    """Every (period, key) of the answer, in its order."""
    credited = {
        (row.period, row.key): row.credit_nanos
        for row in facts.credits
        if row.model == wanted.models[0] and not row.is_total
    }
    parts: list[list[Any]] = [facts.touches, facts.credits]
    if wanted.dimension is not Dimension.TOUCH_TYPE:
        parts += [facts.sessions, facts.conversions]
    found = {(row.period, row.key) for rows in parts for row in rows if not row.is_total}
    return sorted(found, key=lambda place: (place[0], -credited.get(place, 0), place[1]))


def _by_place(rows: list[NumbersT]) -> dict[tuple[int, str], NumbersT]:
    return {(row.period, row.key): row for row in rows if not row.is_total}


def _totals(wanted: PerformanceQuery, facts: PerformanceFacts) -> PerformanceNumbers:
    return _numbers(
        wanted,
        next((row for row in facts.touches if row.is_total), None),
        next((row for row in facts.sessions if row.is_total), None),
        next((row for row in facts.conversions if row.is_total), None),
        [row for row in facts.credits if row.is_total],
    )


def _numbers(
    wanted: PerformanceQuery,
    touches: TouchNumbers | None,
    sessions: SessionNumbers | None,
    conversions: ConversionCounts | None,
    credits: list[CreditRow],
) -> PerformanceNumbers:
    session_count = sessions.session_count if sessions else 0
    return {
        "touches": touches.touch_count if touches else 0,
        "clicks": touches.click_count if touches else 0,
        "impressions": touches.impression_count if touches else 0,
        "sessions": session_count,
        "users": sessions.user_count if sessions else 0,
        "conversions": conversions.conversion_count if conversions else 0,
        "value": money(conversions.total_minor if conversions else 0, wanted.currency),
        "refunded": money(conversions.total_refunded_minor if conversions else 0, wanted.currency),
        "conversion_rate": rate(sessions.converted_session_count if sessions else 0, session_count),
        "models": credits_by_model(credits, wanted.models, wanted.currency),
    }


def _of_row(wanted: PerformanceQuery, numbers: PerformanceNumbers) -> PerformanceNumbers:
    """By touch type a row says nothing about sessions; the totals do."""
    if wanted.dimension is Dimension.TOUCH_TYPE:
        numbers |= {"sessions": None, "users": None, "conversions": None, "value": None, "refunded": None}
        numbers["conversion_rate"] = None
    return numbers
