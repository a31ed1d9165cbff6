"""Random histories of one person, and the stream's domain run over them the way the stream runs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from pipeline.domain.apply import apply_event, has_unpublished, owes_rows, publish_sessions, write_owed_rows
from pipeline.domain.context import PersonContext
from pipeline.domain.conversions import restatement
from pipeline.domain.conversions.orders import apply_order
from pipeline.domain.effects import Effects
from pipeline.domain.rules import AppRules
from pipeline.domain.state import PersonState, decode_state, encode_state, new_state
from pipeline.domain.watermark import Watermark
from pipeline.stream.identity.messages import person_of
from schemas.control import DEFAULT_GOALS, App, AttributionSettings, Counting, Goal, GoalCondition, Operator
from schemas.events import StreamEvent
from schemas.facts import EventMarkRow, PersonLinkRow
from schemas.people import PeopleRecord
from schemas.persons import person_key

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MIDNIGHT_MS = 20_000 * DAY_MS
SITE = "https://shop.example.com"

GOALS = (*DEFAULT_GOALS, Goal("big_purchase", "大额购买", "macro", "purchase", ("amount",)))


def _where(name: str, operator: str, value: Any = None) -> tuple[GoalCondition, ...]:
    return (GoalCondition(name, Operator(operator), value),)


SPECIAL_GOALS = [
    Goal("first_purchase", "首购", "macro", "purchase", counting=Counting.ONCE_PER_PERSON, version=4),
    Goal("session_purchase", "", "macro", "purchase", counting=Counting.ONCE_PER_SESSION, version=2),
    Goal("session_click", "", "micro", "click_button", (), counting=Counting.ONCE_PER_SESSION),
    Goal("first_view", "", "micro", "page_view", (), counting=Counting.ONCE_PER_PERSON),
    Goal("paid", "", "macro", "purchase", conditions=_where("revenue", "gt", 19.99)),
    Goal("first_paid", "", "macro", "purchase", (), _where("revenue", "gte", "19.99"), Counting.ONCE_PER_PERSON),
    Goal("cheap", "", "macro", "purchase", conditions=_where("revenue", "lt", 20) + _where("revenue", "lte", 19.99)),
    Goal("in_dollars", "", "macro", "purchase", conditions=_where("currency", "eq", "USD")),
    Goal("session_no_yen", "", "micro", "purchase", (), _where("currency", "ne", "jpy"), Counting.ONCE_PER_SESSION),
    Goal("ordered", "", "macro", "purchase", conditions=_where("order_id", "exists") + _where("tags", "contains", "a")),
    Goal("unordered", "", "macro", "purchase", conditions=_where("order_id", "exists", False)),
    Goal("returned", "", "micro", "refund"),
]

ONCE_GOALS = [goal for goal in SPECIAL_GOALS if goal.counting is not Counting.EVERY]

PAGES = [
    SITE + "/",
    SITE + "/p/1?id=7",
    SITE + "/?utm_source=baidu&utm_medium=cpc&utm_campaign=spring",
    SITE + "/?utm_source=newsletter&utm_medium=email&utm_campaign=may",
    SITE + "/?gclid=abc&utm_campaign=brand",
    SITE + "/?utm_source=chatgpt.com",
    SITE + "/?fbclid=xyz",
    "",
]
REFERRERS = [
    "",
    "",
    SITE + "/cart",
    "https://www.baidu.com/link",
    "https://www.zhihu.com/q/1",
    "https://www.alipay.com/",
]
AD_PROPERTIES = [
    {"channel": "paid_search", "campaign": "spring"},
    {"channel": "feed", "campaign": "summer"},
    {"platform": "baidu", "campaign": "spring"},
    {},
]
PURCHASES: list[dict[str, Any]] = [
    {"revenue": 199, "order_id": "o-1", "tags": ["a", "b"]},
    {"revenue": 3, "order_id": "o-1"},
    {"revenue": 50, "order_id": "o-2", "currency": "USD", "tags": "cap"},
    {"revenue": 19.99, "amount": 100000.01, "currency": "USD"},
    {"amount": 7, "currency": "jpy", "order_id": 2},
    {"revenue": -5},
    {"revenue": 100, "currency": "US$", "order_id": "o-1"},
    {},
]
REFUNDS: list[dict[str, Any]] = [
    {"order_id": "o-1"},
    {"order_id": "o-1", "amount": 99.99},
    {"order_id": "o-1", "revenue": "-120"},
    {"order_id": "o-1", "value": 0.07, "currency": "cny"},
    {"order_id": "o-2", "value": 30},
    {"order_id": "o-2", "amount": 5, "currency": "EUR"},
    {"order_id": 2, "amount": 3},
    {"order_id": "o-1", "amount": "some"},
    {"amount": 5},
]


@dataclass(frozen=True)
class History:
    app: App
    arrivals: list[StreamEvent]
    """In order of arrival, repeats included."""
    event_watermarks_ms: list[int]
    final_watermark_ms: int


@st.composite
def histories(draw: st.DrawFn, max_events: int = 16) -> History:
    app = draw(apps())
    lateness_ms = app.attribution.allowed_lateness_seconds * 1000
    events = draw(_events(max_events, app.attribution.session_gap_seconds * 1000))
    delays = st.integers(0, lateness_ms) if draw(st.booleans()) else st.sampled_from([0, lateness_ms])
    arriving = [(event.timestamp_ms + draw(delays), place, event) for place, event in enumerate(events)]
    for event in draw(st.lists(st.sampled_from(events), max_size=2)):
        first_ms = next(at_ms for at_ms, _, known in arriving if known is event)
        moved_ms = draw(st.sampled_from([0, 0, 1, -1000, HOUR_MS]))
        repeat = msgspec.structs.replace(event, timestamp_ms=event.timestamp_ms + moved_ms)
        arriving.append((first_ms + draw(st.integers(0, HOUR_MS)), len(arriving), repeat))
    arriving.sort(key=lambda item: item[:2])
    arrivals = [msgspec.structs.replace(event, received_us=at_ms * 1000) for at_ms, _, event in arriving]
    watermarks = _watermarks(arrivals, draw(st.sampled_from([0, 60_000])))
    final_ms = watermarks[-1] + draw(st.sampled_from([0, HOUR_MS, lateness_ms, 40 * DAY_MS]))
    return History(app, arrivals, watermarks, final_ms)


@st.composite
def imports(draw: st.DrawFn, max_events: int = 14) -> History:
    """A past that is sent in any order, within minutes or over days, while live traffic moves the watermark on."""
    app = draw(apps())
    events = draw(st.permutations(draw(_events(max_events, app.attribution.session_gap_seconds * 1000))))
    now_ms = max(event.timestamp_ms for event in events) + draw(st.sampled_from([0, HOUR_MS, 2 * DAY_MS, 20 * DAY_MS]))
    steps = st.sampled_from(
        draw(st.sampled_from([[0, 1000], [0, HOUR_MS, 7 * HOUR_MS], [0, 1000, DAY_MS, 36 * HOUR_MS]]))
    )
    arrivals, watermarks = [], []
    for event in [*events, *draw(st.lists(st.sampled_from(events[-4:]), max_size=2))]:
        now_ms += draw(steps) if len(arrivals) < len(events) else HOUR_MS
        arrivals.append(msgspec.structs.replace(event, received_us=now_ms * 1000))
        watermarks.append(now_ms - 60_000)
    return History(app, arrivals, watermarks, watermarks[-1] + draw(st.sampled_from([0, HOUR_MS, 2 * DAY_MS])))


@st.composite
def apps(draw: st.DrawFn) -> App:
    settings = AttributionSettings(
        session_gap_seconds=draw(st.sampled_from([1800, 10 * 3600])),
        allowed_lateness_seconds=draw(st.sampled_from([0, 7200, 86_400, 3 * 86_400])),
        half_life_days=draw(st.sampled_from([7.0, 0.5])),
        direct_touch=draw(st.sampled_from(["include", "fallback"])),
    )
    some = st.lists(st.sampled_from(SPECIAL_GOALS), max_size=4, unique=True)
    goals = draw(st.one_of(some, st.just(ONCE_GOALS)))
    return App("shop", "Shop", goals=(*GOALS, *goals), attribution=settings, config_version=draw(st.integers(1, 3)))


@st.composite
def _events(draw: st.DrawFn, max_events: int, gap_ms: int) -> list[StreamEvent]:
    """Times that matter: equal, one off the gap, around midnight, chains longer than a day, pauses of days."""
    short = [0, 0, 1, 60_000, gap_ms // 3, gap_ms - 1]
    chain = [gap_ms // 2, gap_ms - 1, gap_ms - 1, 0]
    mixed = [*short, *chain, gap_ms, gap_ms, gap_ms + 1, DAY_MS, 31 * DAY_MS]
    months = [0, 1, gap_ms, 5 * DAY_MS, 29 * DAY_MS, 30 * DAY_MS, 30 * DAY_MS + 1]
    steps = st.sampled_from(draw(st.sampled_from([short, chain, mixed, months])))
    buys = draw(st.booleans())
    user_id = draw(st.sampled_from(["u1", ""]))
    count = draw(st.integers(1, max_events))
    numbers = draw(st.permutations(range(count)))
    at_ms = MIDNIGHT_MS - draw(st.sampled_from([0, 1, 60_000, HOUR_MS, 9 * HOUR_MS]))
    events = []
    for number in numbers:
        at_ms += draw(steps)
        events.append(a_single_event(draw, f"e{number}", user_id, at_ms, BUYING if buys else BROWSING))
    return events


BROWSING = ["page_view"] * 4 + ["click_button", "purchase", "ad_click", "ad_impression", "ad_view", "refund"]
BUYING = ["page_view", "click_button", "ad_click"] + ["purchase"] * 4 + ["refund"] * 3


def a_single_event(draw: st.DrawFn, event_id: str, user_id: str, at_ms: int, names: list[str]) -> StreamEvent:
    name = draw(st.sampled_from(names))
    choices: list[dict[str, Any]] = {"purchase": PURCHASES, "refund": REFUNDS}.get(
        name, AD_PROPERTIES if name.startswith("ad_") else [{}]
    )
    return StreamEvent(
        app_id="shop",
        event_id=event_id,
        event_name=name,
        timestamp_ms=at_ms,
        received_us=at_ms * 1000,
        user_id=user_id,
        anonymous_id=draw(st.sampled_from(["", "a1", "a2"])) if user_id else "a1",
        properties=msgspec.Raw(msgspec.json.encode(draw(st.sampled_from(choices)))),
        page_url=draw(st.sampled_from(PAGES)),
        referrer=draw(st.sampled_from(REFERRERS)),
        campaign_source=draw(st.sampled_from(["", "", "", "weibo"])),
        is_bot=draw(st.sampled_from([False, False, False, True])),
    )


def _watermarks(arrivals: list[StreamEvent], out_of_orderness_ms: int) -> list[int]:
    watermark = Watermark(out_of_orderness_ms)
    values = []
    for event in arrivals:
        watermark.observe(event.timestamp_ms, event.received_us // 1000)
        values.append(watermark.value_ms)
    return values


@contextmanager
def paying(*, slowly: bool) -> Iterator[None]:
    """`slowly`: no event writes owed rows itself, and a wakeup those of one conversion."""
    with pytest.MonkeyPatch.context() as patch:
        if slowly:
            patch.setattr(restatement, "MAX_AT_ONCE", 0)
            patch.setattr(restatement, "MAX_PER_WAKEUP", 1)
        yield


@dataclass
class Ledger:
    """The tables as a reader sees them: of each id and time the row with the greatest revision, unless that takes it
    back.
    """

    rows: dict[str, dict[tuple[str, int], Any]] = field(default_factory=dict)
    marks: list[EventMarkRow] = field(default_factory=list)
    links: list[PersonLinkRow] = field(default_factory=list)
    written: dict[tuple[str, str, int, str], Any] = field(default_factory=dict)
    """Every row, by table, id, revision and person."""

    def add(self, effects: Effects) -> None:
        for table, name, time, rows in (
            ("sessions", "session_id", "start_ms", effects.sessions),
            ("touches", "touch_id", "touched_at_ms", effects.touches),
            ("conversions", "conversion_id", "converted_at_ms", effects.conversions),
            ("attributions", "conversion_id", "converted_at_ms", effects.attributions),
        ):
            kept = self.rows.setdefault(table, {})
            for row in rows:
                row_id = (getattr(row, name), getattr(row, time))
                written = self.written.setdefault((table, row_id[0], row.revision, row.person_key), row)
                assert written == row, "one revision, two contents"
                known = kept.get(row_id)
                if known is None or row.revision > known.revision:
                    kept[row_id] = row
        self.marks += effects.marks
        self.links += effects.links
        effects.clear()

    def table(self, name: str) -> dict[str, Any]:
        live = [(row_id, row) for (row_id, _), row in self.rows.get(name, {}).items() if not row.is_deleted]
        assert len(dict(live)) == len(live), "one id, two rows"
        return dict(live)


@dataclass
class Run:
    """One pass over a history. `random` says when sessions are published and states stored; None: at the end only.

    `groups` says where groups end: then owed rows are written. That is a matter of the log, not of the pass: what one
    group has written and a crash forgot is written again before the next one begins.
    """

    history: History
    rules: AppRules
    random: Random | None = None
    groups: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    state: PersonState = field(default_factory=new_state)
    effects: Effects = field(default_factory=Effects)
    orders: dict[str, PersonState] = field(default_factory=dict)

    @property
    def person(self) -> str:
        event = self.history.arrivals[0]
        return person_key(event.user_id, event.anonymous_id, event.event_id)

    def apply(self, start: int, stop: int) -> None:
        for place in range(start, stop):
            event, watermark_ms = self.history.arrivals[place], self.history.event_watermarks_ms[place]
            apply_event(
                PersonContext(
                    self.state, event.app_id, self.person, self.rules, watermark_ms, self.effects, (0, place, 0)
                ),
                event,
            )
            self.deliver()
            if Random(self.groups + place).random() < 0.4:
                self.pay()
            if self._chance():
                self.publish(watermark_ms)
            if self._chance():
                self.state = decode_state(encode_state(self.state))

    @property
    def states(self) -> dict[str, PersonState]:
        return {self.person: self.state, **self.orders}

    def pay(self) -> None:
        for key, state in self.states.items():
            write_owed_rows(PersonContext(state, "shop", key, self.rules, 0, self.effects))

    def pay_all(self) -> None:
        while any(map(owes_rows, self.states.values())):
            self.pay()

    def publish(self, watermark_ms: int) -> None:
        publish_sessions(PersonContext(self.state, "shop", self.person, self.rules, watermark_ms, self.effects))
        assert has_unpublished(self.state) == owes_rows(self.state)
        self.deliver()

    def deliver(self) -> None:
        """Every message about an order, and what it brings about; each comes twice."""
        while self.effects.messages:
            sent, self.effects.messages = self.effects.messages, []
            for record in sent * 2:
                wire: Any = msgspec.json.decode(msgspec.json.encode(record), type=PeopleRecord)
                key = person_of(wire)
                state = self.state if key == self.person else self.orders.setdefault(key, new_state())
                apply_order(PersonContext(state, wire.app_id, wire.person, self.rules, 0, self.effects), wire)

    def finish(self) -> Ledger:
        self.pay_all()
        self.publish(self.history.final_watermark_ms)
        self.pay_all()
        self.ledger.add(self.effects)
        return self.ledger

    def all(self) -> Ledger:
        self.apply(0, len(self.history.arrivals))
        return self.finish()

    def _chance(self) -> bool:
        return self.random is not None and self.random.random() < 0.4
