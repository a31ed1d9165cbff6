"""Reference results of the stream, computed the plain way: all events of a person at once, sorted, no state, no
revisions.

It shares with the stream the table of channels (`pipeline.domain.channels.classify`, tested by itself) and the ids
(`schemas.ids`), and no other line. Credits are exact fractions (`reference_credits`).

`compute(events in order of arrival, app, watermark)` returns plain dictionaries, keyed by id, of the columns of
`schemas.facts` without `revision` and `is_deleted`; an attribution carries `shares` (fractions) instead of rounded
numbers, and `reference_credits.what_is_wrong` compares a row with it. Conversions and refunds: `reference_conversions`.
"""

import json
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from math import ceil
from typing import Any

from reference_conversions import conversions_of, counted, identity, take_back
from reference_credits import shares_of

from pipeline.domain.channels.classify import classify_ad, classify_arrival
from schemas.control import App
from schemas.events import StreamEvent
from schemas.ids import session_id
from schemas.persons import person_key

DAY_MS = 86_400_000
WEEK_S = 7 * 86_400
MAX_TOUCHES = 100
AD_TYPES = {"ad_click": "click", "ad_impression": "impression", "ad_view": "view"}
STRENGTH = ["click", "view", "impression", "visit"]
Row = dict[str, Any]


@dataclass
class Truth:
    sessions: dict[str, Row] = field(default_factory=dict)
    touches: dict[str, Row] = field(default_factory=dict)
    conversions: dict[str, Row] = field(default_factory=dict)
    attributions: dict[str, Row] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    """Event ids, once per repeat."""


def compute(
    events: Iterable[StreamEvent],
    app: App,
    watermark_ms: int | None = None,
    late_ids: Container[str] = (),
    owners: Mapping[str, str] | None = None,
) -> Truth:
    """`events`: of one app, in order of arrival, repeats included. `late_ids`: stored, but too late to count.

    `watermark_ms`: decides which sessions are closed; None: all are. `owners`: anonymous id → the user it belongs to.
    """
    truth = Truth()
    by_person: dict[str, list[StreamEvent]] = defaultdict(list)
    once = _once(events, owners or {}, truth)
    refunds = {event.event_id: event for _, event in reversed(once) if event.event_name == "refund"}
    for person, event in once:
        if event.event_id not in late_ids:
            by_person[person].append(event)
    for person, theirs in by_person.items():
        if not person.startswith("e:"):
            _one_person(person, sorted(theirs, key=_place), list(refunds.values()), app, watermark_ms, truth)
    return truth


def _place(event: StreamEvent) -> tuple[int, str]:
    return event.timestamp_ms, event.event_id


def owners_of(events: Iterable[StreamEvent]) -> dict[str, str]:
    """`events`: of one app, in order of arrival. An anonymous id belongs to the first user it came with."""
    owners: dict[str, str] = {}
    for event in events:
        if event.user_id and event.anonymous_id:
            owners.setdefault(event.anonymous_id, event.user_id)
    return owners


def _once(events: Iterable[StreamEvent], owners: Mapping[str, str], truth: Truth) -> list[tuple[str, StreamEvent]]:
    """With the person each is of."""
    kept: list[tuple[str, StreamEvent]] = []
    received_s: dict[tuple[str, str], int] = {}
    for event in events:
        user_id = event.user_id or owners.get(event.anonymous_id, "")
        person = person_key(user_id, event.anonymous_id, event.event_id)
        key = (person, event.event_id)
        now_s = event.received_us // 1_000_000
        if key in received_s and now_s - received_s[key] < WEEK_S:
            truth.duplicates.append(event.event_id)
        else:
            received_s[key] = now_s
            kept.append((person, event))
    return kept


def _one_person(
    person: str,
    events: list[StreamEvent],
    refunds: list[StreamEvent],
    app: App,
    watermark_ms: int | None,
    truth: Truth,
) -> None:
    """`events`: the person's that count. `refunds`: everybody's, late ones too."""
    touches: list[Row] = []
    conversions: list[Row] = []
    counted_of_person: set[str] = set()
    for session in _sessions(events, app.attribution.session_gap_seconds * 1000):
        named = session_id(app.app_id, person, session[0].timestamp_ms, session[0].event_id)
        found = [_touch_row(person, named, app, event, touch) for event, touch in _touches(session)]
        met = counted(
            [row for event in session for row in conversions_of(event, person, named, app)], counted_of_person
        )
        truth.sessions[named] = _session_row(person, named, app, session, met, watermark_ms)
        touches += found
        conversions += met
    truth.touches |= {row["touch_id"]: row for row in touches}
    touches.sort(key=lambda row: (row["touched_at_ms"], row["touch_id"]))
    take_back(conversions, sorted(refunds, key=_place))
    for row in conversions:
        path = _path(touches, row["converted_at_ms"], app)
        truth.conversions[row["conversion_id"]] = row | {f"path_{k}": v for k, v in _columns(path).items()}
        truth.attributions[row["conversion_id"]] = _attribution(row, path, app)
    for row in truth.conversions.values():
        row.pop("counting", None)


# Sessions


def _sessions(events: list[StreamEvent], gap_ms: int) -> list[list[StreamEvent]]:
    chains = [[events[0]]]
    for before, event in pairwise(events):
        if event.timestamp_ms - before.timestamp_ms < gap_ms:
            chains[-1].append(event)
        else:
            chains.append([event])
    sessions: list[list[StreamEvent]] = []
    for chain in chains:
        if chain[-1].timestamp_ms - chain[0].timestamp_ms <= DAY_MS:
            sessions.append(chain)
        else:
            sessions += [list(day) for _, day in groupby(chain, key=lambda event: event.timestamp_ms // DAY_MS)]
    return sessions


def _session_row(
    person: str, named: str, app: App, session: list[StreamEvent], met: list[Row], watermark_ms: int | None
) -> Row:
    entry = _entry(session)
    arrival = _arrival(entry)
    is_arrival = not _is_no_arrival(entry)
    pages = [e.page_url[:1024] for e in session if e.page_url and e.event_name not in ("ad_impression", "ad_view")]
    values: dict[str, int] = defaultdict(int)
    for row in met:
        values[row["currency"]] += row["value_minor"]
    end_ms = session[-1].timestamp_ms
    closes_ms = ceil((end_ms + app.attribution.session_gap_seconds * 1000) / 60_000) * 60_000  # at a full minute
    return {
        "app_id": app.app_id,
        "session_id": named,
        **identity(person, next((e.anonymous_id for e in session if e.anonymous_id), "")),
        "start_ms": session[0].timestamp_ms,
        "end_ms": end_ms,
        "events": len(session),
        "page_views": sum(e.event_name == "page_view" for e in session),
        "entry_page": pages[0] if pages else "",
        "exit_page": pages[-1] if pages else "",
        "channel": arrival.channel if is_arrival else "",
        "source": arrival.source if is_arrival else "",
        "medium": arrival.medium if is_arrival else "",
        "campaign": arrival.campaign if is_arrival else "",
        "conversions": len(met),
        "values_minor": {currency: value for currency, value in values.items() if value},
        "is_bounce": len(session) == 1 and not met and is_arrival,
        "is_closed": watermark_ms is None or watermark_ms >= closes_ms,
        "is_bot": all(e.is_bot for e in session),
    }


# Touches


def _arrival(event: StreamEvent) -> Any:
    campaign = (event.campaign_source, event.campaign_medium, event.campaign_name)
    if event.event_name in AD_TYPES:
        return classify_ad(json.loads(bytes(event.properties)), event.page_url, campaign)
    return classify_arrival(event.page_url, event.referrer, campaign)


def _says_something(event: StreamEvent) -> bool:
    return bool(
        event.page_url + event.referrer + event.campaign_source + event.campaign_medium + event.campaign_name
        or event.event_name == "ad_click"
    )


def _is_no_arrival(event: StreamEvent) -> bool:
    screens = {"screen", "screen_name"} & json.loads(bytes(event.properties)).keys()
    is_seen = event.event_name in ("page_view", "screen_view", "ad_impression", "ad_view") or screens
    return not (_says_something(event) or is_seen)


def _entry(session: list[StreamEvent]) -> StreamEvent:
    def witness(event: StreamEvent) -> int:
        if event.event_name in ("ad_impression", "ad_view"):
            return 2
        return 3 if _is_no_arrival(event) else int(not _says_something(event))

    return min(session, key=lambda event: (witness(event), event.timestamp_ms, event.event_id))


def _touches(session: list[StreamEvent]) -> list[tuple[StreamEvent, str]]:
    """(event, touch type), the first of each type, channel and campaign."""
    found, known = [], set()
    entry = _entry(session)
    for event in session:
        arrival = _arrival(event)
        touch_type = AD_TYPES.get(event.event_name) or ("click" if arrival.is_click else "")
        touch_type = touch_type or ("visit" if event is entry and not _is_no_arrival(event) else "")
        key = (touch_type, arrival.channel, arrival.campaign)
        if touch_type and key not in known:
            known.add(key)
            found.append((event, touch_type))
    return found


def _touch_row(person: str, named: str, app: App, event: StreamEvent, touch_type: str) -> Row:
    arrival = _arrival(event)
    return {
        "app_id": app.app_id,
        "touch_id": event.event_id,
        "person_key": person,
        "session_id": named,
        "touched_at_ms": event.timestamp_ms,
        "touch_type": touch_type,
        "channel": arrival.channel,
        "source": arrival.source,
        "medium": arrival.medium,
        "campaign": arrival.campaign,
        "is_bot": event.is_bot,
    }


def _path(touches: list[Row], at_ms: int, app: App) -> list[Row]:
    windows = {str(kind): days * DAY_MS for kind, days in app.attribution.window_days.items()}
    known = bounded([row for row in touches if row["touched_at_ms"] <= at_ms], windows)
    inside = [row for row in known if at_ms - row["touched_at_ms"] <= windows[row["touch_type"]]]
    rivals: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in inside:
        rivals[(row["session_id"], row["channel"], row["campaign"])].append(row)
    winners = [min(rows, key=lambda row: STRENGTH.index(row["touch_type"]))["touch_id"] for rows in rivals.values()]
    return [row for row in inside if row["touch_id"] in winners]


def bounded(touches: list[Row], windows: dict[str, int], most: int = MAX_TOUCHES) -> list[Row]:
    """Return the touches a path can hold: see the rule in SEMANTICS.md, "Conversions"."""
    kept: list[Row] = []
    for row in touches:
        kept.append(row)
        if len(kept) > most:
            kept = [old for old in kept if row["touched_at_ms"] - old["touched_at_ms"] <= windows[old["touch_type"]]]
        if len(kept) > most:
            kept.remove(_least(kept))
    return kept


def _least(kept: list[Row]) -> Row:
    def contact_of(row: Row) -> tuple[str, str, str]:
        return row["touch_type"], row["channel"], row["campaign"]

    def kind(place: int) -> int:
        row = kept[place]
        if contact_of(row) in [contact_of(before) for before in kept[:place]]:
            return 0 if row["channel"] == "direct" else 1
        return 3 if row["touch_type"] == "click" else 2

    first_click = next((place for place, row in enumerate(kept) if row["touch_type"] == "click"), 0)
    return kept[
        min((place for place in range(1, len(kept) - 1) if place != first_click), key=lambda at: (kind(at), at))
    ]


def _columns(path: list[Row]) -> Row:
    names = ("touch_id", "touched_at_ms", "touch_type", "channel", "source", "medium", "campaign")
    plural = ("touch_ids", "touched_at_ms", "touch_types", "channels", "sources", "mediums", "campaigns")
    return {column: [row[name] for row in path] for column, name in zip(plural, names, strict=True)}


# Attribution


def _attribution(conversion: Row, path: list[Row], app: App) -> Row:
    nobody = {"touch_id": "", "touch_type": "visit", "channel": "direct", "source": "", "medium": "", "campaign": ""}
    path = path or [nobody | {"touched_at_ms": conversion["converted_at_ms"]}]
    kept = (
        "app_id",
        "conversion_id",
        "goal",
        "person_key",
        "converted_at_ms",
        "currency",
        "refunded_minor",
        "value_issue",
        "is_bot",
    )
    net = {
        "value_minor": conversion["value_minor"] - conversion["refunded_minor"],
        "config_version": app.config_version,
    }
    shares = shares_of(path, conversion["converted_at_ms"], app)
    return {name: conversion[name] for name in kept} | net | _columns(path) | {"shares": shares}
