"""Facts of two apps, made by hand and chance: what a reader must see, and beside it what it must not.

`make_world(app_id, seed)` gives the rows that stand; `stale_rows` gives older revisions of them and rows taken back,
which `insert_world` writes too. The credits are any split into whole numbers: the query service must add them up,
whatever model they came from.
"""

from dataclasses import dataclass, field
from datetime import date
from random import Random
from typing import Any

import msgspec
from webhook_rows import some_attempts

from pipeline.runtime.clickhouse import ClickHouse
from schemas.control import DEFAULT_GOALS, Goal
from schemas.events import AcceptedEvent
from schemas.facts import (
    NANOS_PER_CONVERSION,
    AlertRow,
    AlertWindowRow,
    AttributionRow,
    ConversionRow,
    CostRow,
    EventMarkRow,
    GatewayCountRow,
    Model,
    PersonLinkRow,
    RejectedRow,
    SessionRow,
    TouchRow,
    encode_rows,
)

SIGNING_KEY = b"a key for tests, shared by all replicas"
HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS
FIRST_MS = 1_704_067_200_000
"""2024-01-01T00:00:00Z"""
DAYS = 40
CHANNELS = {
    "paid_search": ("baidu", "cpc", "brand"),
    "paid_social": ("douyin", "feed", "spring"),
    "organic_search": ("google", "organic", ""),
    "email": ("newsletter", "email", "weekly"),
    "direct": ("", "", ""),
}
GOALS = ("purchase", "user_signup", "video_play")
MICRO_GOAL = "video_play"
APP_GOALS = (*DEFAULT_GOALS, Goal(MICRO_GOAL, "播放视频", "micro", MICRO_GOAL))
"""Of every app here."""


@dataclass
class World:
    app_id: str
    events: list[AcceptedEvent] = field(default_factory=list)
    sessions: list[SessionRow] = field(default_factory=list)
    touches: list[TouchRow] = field(default_factory=list)
    conversions: list[ConversionRow] = field(default_factory=list)
    attributions: list[AttributionRow] = field(default_factory=list)
    marks: list[EventMarkRow] = field(default_factory=list)

    def tables(self) -> dict[str, list[Any]]:
        return {
            "events": self.events,
            "sessions": self.sessions,
            "touches": self.touches,
            "conversions": self.conversions,
            "attributions": self.attributions,
            "event_marks": self.marks,
        }


def make_world(app_id: str, seed: int, persons: int = 40) -> World:
    random = Random(seed)
    world = World(app_id)
    for number in range(persons):
        _live(world, random, number)
    return world


def _live(world: World, random: Random, number: int) -> None:
    """One person: every third is known by an anonymous id alone."""
    user_id = "" if number % 3 == 0 else f"user{number}"
    anonymous_id = f"visitor{number}" if number % 2 == 0 or not user_id else ""
    person = f"u:{user_id}" if user_id else f"a:{anonymous_id}"
    starts = sorted(FIRST_MS + random.randrange(DAYS * DAY_MS) for _ in range(random.randint(1, 4)))
    for start_ms in starts:
        _visit(world, random, person, user_id, anonymous_id, start_ms)


def _visit(world: World, random: Random, person: str, user_id: str, anonymous_id: str, start_ms: int) -> None:
    session_id = f"ses_{world.app_id}_{len(world.sessions)}"
    channel = random.choice(list(CHANNELS))
    source, medium, campaign = CHANNELS[channel]
    touch_type = "visit" if channel in ("direct", "organic_search") else random.choice(["click", "impression", "view"])
    events = _events(world, random, user_id, anonymous_id, start_ms)
    world.events += events
    world.touches.append(
        TouchRow(
            app_id=world.app_id,
            touch_id=events[0].event_id,
            person_key=person,
            session_id=session_id,
            touched_at_ms=start_ms,
            touch_type=touch_type,
            channel=channel,
            source=source,
            medium=medium,
            campaign=campaign,
            revision=4,
        )
    )
    values: dict[str, int] = {}
    converted = [event for event in events if event.event_name in GOALS]
    for event in converted:
        conversion = _convert(world, random, event, person, session_id)
        if conversion.value_minor:
            values[conversion.currency] = values.get(conversion.currency, 0) + conversion.value_minor
    world.sessions.append(
        SessionRow(
            app_id=world.app_id,
            session_id=session_id,
            person_key=person,
            user_id=user_id,
            anonymous_id=anonymous_id,
            start_ms=start_ms,
            end_ms=events[-1].timestamp_ms,
            events=len(events),
            page_views=sum(event.event_name == "page_view" for event in events),
            entry_page=events[0].page_url,
            exit_page=events[-1].page_url,
            channel=channel,
            source=source,
            medium=medium,
            campaign=campaign,
            conversions=len(converted),
            values_minor=values,
            is_bounce=len(events) == 1,
            is_closed=random.random() < 0.8,
            revision=6,
        )
    )


def _events(world: World, random: Random, user_id: str, anonymous_id: str, start_ms: int) -> list[AcceptedEvent]:
    names = ["page_view", *random.choices(["page_view", "search", *GOALS], k=random.randint(0, 4))]
    events = []
    for offset, name in enumerate(names):
        number = len(world.events) + offset
        at_ms = start_ms + offset * random.randrange(1, 20 * 60_000)
        properties = {
            "number": number,
            "price": round(random.random() * 100, 2),
            "label": random.choice(["it's", '"quoted"', "中文", "a\\b", "100%"]),
            "is_new": number % 2 == 0,
            "nothing": None,
            "nested": {"deep": [1, 2]},
        }
        events.append(
            AcceptedEvent(
                app_id=world.app_id,
                event_id=f"evt_{number:05}",
                event_name=name,
                timestamp_ms=max(at_ms, events[-1].timestamp_ms if events else at_ms),
                received_us=(at_ms + 1500) * 1000 + number,
                user_id=user_id,
                anonymous_id=anonymous_id,
                properties=msgspec.Raw(msgspec.json.encode(properties)),
                page_url=f"https://shop.example/{number % 7}{'?utm_content=ad%201' if number % 6 == 3 else ''}",
                campaign_source="baidu" if number % 5 == 0 else "",
                campaign_content=f"ad {number % 3}" if number % 3 else "",
                is_bot=number % 11 == 0,
                key_id="app_id" if number % 2 else "key_1",
            )
        )
    return events


def _convert(world: World, random: Random, event: AcceptedEvent, person: str, session_id: str) -> ConversionRow:
    conversion_id = f"cnv_{world.app_id}_{event.event_id}"
    known = [t for t in world.touches if t.person_key == person and t.touched_at_ms <= event.timestamp_ms]
    path = random.sample(known, k=random.randint(0, len(known)))
    path.sort(key=lambda touch: (touch.touched_at_ms, touch.touch_id))
    is_paid = event.event_name != "user_signup"
    value_minor = random.randrange(1, 100_000) if is_paid else 0
    conversion = ConversionRow(
        app_id=world.app_id,
        conversion_id=conversion_id,
        goal=event.event_name,
        goal_type="micro" if event.event_name == MICRO_GOAL else "macro",
        event_id=event.event_id,
        person_key=person,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        session_id=session_id,
        converted_at_ms=event.timestamp_ms,
        value_minor=value_minor,
        currency=random.choice(["CNY", "CNY", "CNY", "USD", "JPY"]) if is_paid else "CNY",
        order_id=f"O-{event.event_id}" if is_paid else "",
        path_touch_ids=[touch.touch_id for touch in path],
        path_touched_at_ms=[touch.touched_at_ms for touch in path],
        path_touch_types=[touch.touch_type for touch in path],
        path_channels=[touch.channel for touch in path],
        path_sources=[touch.source for touch in path],
        path_mediums=[touch.medium for touch in path],
        path_campaigns=[touch.campaign for touch in path],
        revision=2,
        goal_version=random.randint(1, 3),
        refunded_minor=random.choice([0, 0, value_minor, value_minor // 3]),
    )
    world.conversions.append(conversion)
    world.attributions.append(_attribute(random, conversion))
    return conversion


def _attribute(random: Random, conversion: ConversionRow) -> AttributionRow:
    is_empty = not conversion.path_touch_ids
    size = max(len(conversion.path_touch_ids), 1)
    net_minor = conversion.value_minor - conversion.refunded_minor
    return AttributionRow(
        app_id=conversion.app_id,
        conversion_id=conversion.conversion_id,
        goal=conversion.goal,
        person_key=conversion.person_key,
        converted_at_ms=conversion.converted_at_ms,
        value_minor=net_minor,
        currency=conversion.currency,
        touch_ids=[""] if is_empty else conversion.path_touch_ids,
        touched_at_ms=[conversion.converted_at_ms] if is_empty else conversion.path_touched_at_ms,
        touch_types=["visit"] if is_empty else conversion.path_touch_types,
        channels=["direct"] if is_empty else conversion.path_channels,
        sources=[""] if is_empty else conversion.path_sources,
        mediums=[""] if is_empty else conversion.path_mediums,
        campaigns=[""] if is_empty else conversion.path_campaigns,
        credits_nanos={model.value: _split(random, NANOS_PER_CONVERSION, size) for model in Model},
        values_minor={model.value: _split(random, net_minor, size) for model in Model},
        reason="initial",
        revision=2,
        supersedes=1,
        config_version=5,
        refunded_minor=conversion.refunded_minor,
    )


def _split(random: Random, total: int, parts: int) -> list[int]:
    cuts = sorted(random.randint(0, total) for _ in range(parts - 1))
    return [high - low for low, high in zip([0, *cuts], [*cuts, total], strict=True)]


def stale_rows(world: World) -> dict[str, list[Any]]:
    """An older revision of every derived row, with other numbers, and rows that were taken back later."""
    change = msgspec.structs.replace
    return {
        "sessions": [
            *(
                change(row, revision=1, conversions=99, events=99, channel="stale", is_bot=not row.is_bot)
                for row in world.sessions
            ),
            *_taken_back(world.sessions, "session_id", start_ms=FIRST_MS + DAY_MS, person_key="u:ghost"),
        ],
        "touches": [
            *(change(row, revision=1, channel="stale", is_bot=not row.is_bot) for row in world.touches),
            *_taken_back(world.touches, "touch_id", touched_at_ms=FIRST_MS + DAY_MS),
        ],
        "conversions": [
            *(change(row, revision=1, value_minor=10**9, is_bot=not row.is_bot) for row in world.conversions),
            *_taken_back(world.conversions, "conversion_id", converted_at_ms=FIRST_MS + DAY_MS),
        ],
        "attributions": [
            *(
                change(row, revision=1, value_minor=10**9, channels=["stale"] * 1, is_bot=not row.is_bot)
                for row in world.attributions
            ),
            *_taken_back(world.attributions, "conversion_id", converted_at_ms=FIRST_MS + DAY_MS),
        ],
    }


def _taken_back(rows: list[Any], id_name: str, **changes: Any) -> list[Any]:
    """Each pair is a row and its tombstone."""
    change = msgspec.structs.replace
    ghosts = [change(row, **{id_name: f"ghost_{index}"}, **changes) for index, row in enumerate(rows[:5])]
    return [*ghosts, *(change(ghost, revision=ghost.revision + 1, is_deleted=True) for ghost in ghosts)]


async def insert_world(clickhouse: ClickHouse, world: World) -> None:
    """The stale rows after the ones that stand: their order must not matter."""
    for tables in (world.tables(), stale_rows(world)):
        for table, rows in tables.items():
            if rows:
                await clickhouse.insert_ndjson(table, encode_rows(rows))


def rows_beside(world: World) -> dict[str, list[Any]]:
    """Rows of the tables that `make_world` leaves empty."""
    marked = world.events[3]
    again = {"mark": "duplicate", "timestamp_ms": marked.timestamp_ms + 5, "first_timestamp_ms": marked.timestamp_ms}
    place = {"received_us": marked.received_us, "partition": 0, "offset": 9, "index": 0}
    threshold = {"metric": "events", "subject": "", "comparison": "above", "threshold": 1.0, "value": 2.0}
    window = {"window_start_ms": FIRST_MS, "window_end_ms": FIRST_MS + DAY_MS}
    fired = {"began_at_ms": FIRST_MS, "fired_at_ms": FIRST_MS}
    return {
        "event_marks": [EventMarkRow("alpha", marked.event_id, **again, **place)],
        "events": [msgspec.structs.replace(marked, timestamp_ms=marked.timestamp_ms + 5)],
        "person_links": [
            PersonLinkRow("alpha", row.anonymous_id, row.user_id, row.start_ms, "e", True)
            for row in world.sessions
            if row.anonymous_id and row.user_id
        ],
        "rejected": [
            RejectedRow("alpha", f"rej_{n}", FIRST_MS + n, "gateway", "INVALID", f"events[{n}].user_id", "why", "{}")
            for n in range(9)
        ],
        "spend": [
            CostRow("alpha", date(2024, 1, 1 + n), channel, "brand", 100 + n, "CNY", 1, 1 + revision, "baidu")
            for n in range(9)
            for channel in ("paid_search", "email")
            for revision in range(2)
        ],
        "gateway_counts": [GatewayCountRow("alpha", f"g{n % 2}", FIRST_MS + n * 60_000, n, 5, 1, 2) for n in range(9)],
        "alerts": [
            AlertRow(
                "alpha",
                f"alr_{n}",
                "r",
                "rule",
                **threshold,
                average=None,
                unit="events",
                state="began" if n % 2 else "ended",
                **window,
                **fired,
            )
            for n in range(9)
        ],
        "webhook_attempts": some_attempts("alpha", "whe_1"),
        "alert_windows": [
            AlertWindowRow("alpha", f"r{n}", FIRST_MS + n * DAY_MS, FIRST_MS + (n + 1) * DAY_MS, 1.0, 1)
            for n in range(9)
        ],
    }
