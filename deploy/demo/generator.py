"""Generator of the demo's traffic: journeys, with faults on their way to the gateway. It knows the expected results.

Pure and seeded: the same plan gives the same requests in the same order. Mishaps, by their share of events:
most arrive within seconds, some out of order by under a minute, some hours late (a phone that was off), a handful later
than the pipeline allows; two in a hundred are sent twice; a few are wrong and must be refused.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from itertools import pairwise
from random import Random
from typing import Any, Final

from deploy.demo.journeys import Event, visitors
from schemas.control import DEFAULT_GOALS
from schemas.errors import ErrorCode

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_CHINA: Final = timezone(timedelta(hours=8))
_GOAL_EVENTS: Final = {goal.event_name for goal in DEFAULT_GOALS}

SAFE_LATE_MS: Final = 12 * _HOUR_MS
"""Maximum lateness of events that should count. With `MAX_SPAN_MS` it stays inside the allowed lateness of 24 h."""
MAX_SPAN_MS: Final = 6 * _HOUR_MS
"""Maximum span in arrival time of the requests under way at one time: whichever comes first moves the watermark on."""
TOO_LATE_MS: Final = (48 * _HOUR_MS, 72 * _HOUR_MS)


class Kind(StrEnum):
    VALID = "valid"
    DUPLICATE = "duplicate"
    LATE = "late"
    """Events that are valid but later than the pipeline allows: stored, not counted into sessions or credits."""
    INVALID = "invalid"


@dataclass(frozen=True)
class Plan:
    end_ms: int
    """End of the traffic: the present, usually."""
    events: int = 50_000
    """Minimum number of events to send, duplicates and invalid ones included."""
    seed: int = 1
    days: int = 30
    has_sent_at: bool = True
    """True if some events carry `sent_at`; their stored time then depends on when they are received. Without, a run can
    be repeated.
    """
    late_events: int = 20


@dataclass(frozen=True)
class Sending:
    """One event on its way: `body` is sent when the traffic has come to `arrival_ms`."""

    arrival_ms: int
    body: dict[str, Any]
    kind: Kind = Kind.VALID
    code: ErrorCode | None = None


@dataclass(frozen=True)
class Truth:
    """Expected results of a run."""

    sent: int = 0
    stored: int = 0
    """Number of distinct valid events, the late ones included."""
    duplicates: int = 0
    late: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Number of rejected events by error code."""
    conversions: Counter[str] = field(default_factory=Counter)
    """Number of conversions by event name."""
    revenue_minor: int = 0
    links: int = 0
    """Number of links between a browser's id and a customer's."""
    people: int = 0
    """Number of people with a session: customers, and browsers that never became a customer's."""


def generate(plan: Plan) -> list[Sending]:
    """Return all sendings in the order of their arrival."""
    random = Random(plan.seed)  # noqa: S311 - repeatable on purpose, nothing secret
    start_ms = plan.end_ms - plan.days * _DAY_MS
    sendings: list[Sending] = []
    for journey in visitors(random, start_ms, plan.end_ms):
        for event in journey:
            sendings += _mishaps(random, plan, event)
        if len(sendings) >= plan.events:
            break
    _make_some_late(random, plan, sendings)
    sendings.sort(key=lambda sending: sending.arrival_ms)
    return sendings


def truth_of(sendings: list[Sending]) -> Truth:
    """Count the expected results from the sendings, not from the pipeline."""
    kinds = Counter(sending.kind for sending in sendings)
    orders = [s.body for s in sendings if s.kind is Kind.VALID and s.body["event_name"] in _GOAL_EVENTS]
    return Truth(
        sent=len(sendings),
        stored=kinds[Kind.VALID] + kinds[Kind.LATE],
        duplicates=kinds[Kind.DUPLICATE],
        late=kinds[Kind.LATE],
        rejected=Counter(str(sending.code) for sending in sendings if sending.kind is Kind.INVALID),
        conversions=Counter(body["event_name"] for body in orders),
        revenue_minor=sum(round(body["properties"].get("revenue", 0) * 100) for body in orders),
        links=len(_pairs(sendings)),
        people=_count_people(sendings),
    )


def _pairs(sendings: list[Sending]) -> set[tuple[str, str]]:
    bodies = (sending.body for sending in sendings if sending.kind is not Kind.INVALID)
    return {(body["anonymous_id"], body["user_id"]) for body in bodies if body.get("user_id")}


def _count_people(sendings: list[Sending]) -> int:
    owners = dict(_pairs(sendings))
    counted = [sending.body for sending in sendings if sending.kind is Kind.VALID]
    return len({body.get("user_id") or owners.get(body["anonymous_id"], body["anonymous_id"]) for body in counted})


def _mishaps(random: Random, plan: Plan, event: Event) -> Iterator[Sending]:
    """Yield the event as it is sent; sometimes a second time; sometimes a broken one of the same visitor beside it."""
    sending = Sending(event.time_ms + _delay_ms(random), event.body | {"timestamp": _timestamp(random, event.time_ms)})
    if plan.has_sent_at and random.random() < 0.01:
        sending = _from_wrong_clock(random, plan, event, sending)
    yield sending
    if random.random() < 0.02:
        yield _repeat(random, plan, event, sending)
    if random.random() < 0.005:
        yield _invalid(random, sending)


def _delay_ms(random: Random) -> int:
    kind = random.random()
    if kind < 0.90:
        return random.randrange(2_000)
    if kind < 0.97:
        return random.randrange(50_000)
    return random.randrange(_MINUTE_MS, SAFE_LATE_MS)


def _timestamp(random: Random, time_ms: int) -> str:
    """Write a time in RFC 3339, in one of the ways that senders write it."""
    style = random.random()
    zone = UTC if style < 0.6 else _CHINA
    text = datetime.fromtimestamp(time_ms / 1000, zone).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z") if style < 0.4 else text


def _from_wrong_clock(random: Random, plan: Plan, event: Event, sending: Sending) -> Sending:
    """Shift the times as a device with a wrong clock (up to three hours) would, and say so: `sent_at` is off by as
    much.
    """
    skew_ms = random.randrange(-3 * _HOUR_MS, 3 * _HOUR_MS)
    times = {
        "timestamp": _timestamp(random, event.time_ms + skew_ms),
        "sent_at": _timestamp(random, plan.end_ms + skew_ms),
    }
    return replace(sending, body=sending.body | times)


def _repeat(random: Random, plan: Plan, event: Event, sending: Sending) -> Sending:
    """Repeat the event: mostly unchanged, sometimes with another time (a retry that stamps anew)."""
    delay_ms = random.randrange(3 * _DAY_MS) if random.random() < 0.05 else random.randrange(_HOUR_MS)
    body = sending.body
    if random.random() < 0.3:
        body = body | {"timestamp": _timestamp(random, event.time_ms + random.randrange(1, 5_000))}
        if plan.has_sent_at:
            body |= {"sent_at": _timestamp(random, plan.end_ms - random.randrange(30_000))}
    return Sending(sending.arrival_ms + delay_ms, body, Kind.DUPLICATE)


def _invalid(random: Random, sending: Sending) -> Sending:
    broken: tuple[tuple[ErrorCode, dict[str, Any]], ...] = (
        (ErrorCode.INVALID_EVENT_NAME, {"event_name": "Purchase-Complete"}),
        (ErrorCode.INVALID_EVENT_NAME, {"event_name": "APP INSTALL"}),
        (ErrorCode.MISSING_REQUIRED_FIELD, {"event_name": ""}),
        (ErrorCode.INVALID_PARAMETER, {"timestamp": "yesterday at noon"}),
        (ErrorCode.INVALID_PARAMETER, {"timestamp": "2009-01-15T10:30:00Z"}),
        (ErrorCode.INVALID_PARAMETER, {"user_id": "undefined"}),
        (ErrorCode.INVALID_PARAMETER, {"properties": ["not", "an", "object"]}),
    )
    code, change = random.choice(broken)
    body = sending.body | {"event_id": f"{sending.body['event_id']}-bad"} | change
    return Sending(sending.arrival_ms, body, Kind.INVALID, code)


def _sender(sending: Sending) -> str:
    """Return the id that the event will be counted under where it arrives."""
    return str(sending.body.get("user_id") or sending.body.get("anonymous_id", ""))


def _followed(sendings: list[Sending]) -> set[str]:
    """List the ids of events after which their sender sends another before it is too late."""
    by_sender: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for sending in sendings:
        by_sender[_sender(sending)].append(
            (datetime.fromisoformat(sending.body["timestamp"]), sending.body["event_id"])
        )
    found = set()
    for events in by_sender.values():
        for (at, event_id), (next_at, _) in pairwise(sorted(events)):
            if next_at - at < timedelta(milliseconds=SAFE_LATE_MS):
                found.add(event_id)
    return found


def _make_some_late(random: Random, plan: Plan, sendings: list[Sending]) -> None:
    """Delay a handful of page views, at times that leave room for it, too much: they arrive after later ones of their
    sender are final (`pipeline.domain.sessions.lateness`).

    Not of the first days: until then there may be a partition whose watermark hardly moves.
    """
    latest_ms = plan.end_ms - TOO_LATE_MS[1] - _HOUR_MS
    earliest_ms = plan.end_ms - (plan.days - 3) * _DAY_MS
    repeated = {s.body["event_id"] for s in sendings if s.kind is Kind.DUPLICATE}
    candidates = [
        place
        for place, s in enumerate(sendings)
        if s.kind is Kind.VALID
        and s.body["event_name"] == "page_view"
        and earliest_ms < s.arrival_ms < latest_ms
        and s.body["event_id"] not in repeated
        and "sent_at" not in s.body
    ]
    followed = _followed([s for s in sendings if s.kind is Kind.VALID])
    chosen = {_sender(sendings[place]): place for place in candidates if sendings[place].body["event_id"] in followed}
    for place in random.sample(sorted(chosen.values()), min(plan.late_events, len(chosen))):
        on_time = sendings[place]
        arrival_ms = on_time.arrival_ms + random.randrange(*TOO_LATE_MS)
        sendings[place] = replace(on_time, arrival_ms=arrival_ms, kind=Kind.LATE)
