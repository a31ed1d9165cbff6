"""Persons whose states hold as much as anybody with a public key can put into them, and the events that are dearest for
them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from pipeline.domain.apply import apply_event, publish_sessions, write_owed_rows
from pipeline.domain.attribution.path import Paths
from pipeline.domain.channels.addresses import MAX_VALUE_CHARACTERS
from pipeline.domain.context import PersonContext
from pipeline.domain.conversions.expiry import Closed, encode_closed
from pipeline.domain.conversions.orders import apply_order
from pipeline.domain.effects import Effects
from pipeline.domain.identity.stitching import hand_over, link
from pipeline.domain.rules import DAY_MS, AppRules, compile_rules
from pipeline.domain.sessions.event_ids import fingerprint, pack_times, remember
from pipeline.domain.state import (
    MAX_CONVERSIONS,
    MAX_REFUNDS,
    MAX_SEEN,
    ClosedConversion,
    PersonState,
    decode_state,
    encode_state,
)
from schemas.control import DEFAULT_GOALS, App
from schemas.events import StreamEvent
from schemas.facts import encode_rows
from schemas.people import OrderClosed, OrderRefund

START_MS: Final = 1_790_000_000_000 // DAY_MS * DAY_MS
PERSON: Final = "a:prepared"
RULES: Final = compile_rules(App("demo", "Demo", goals=DEFAULT_GOALS))
SECOND_MS: Final = 1_000


def rows_of(effects: Effects) -> list[list[Any]]:
    return [getattr(effects, name) for name in Effects.__slots__]


@dataclass
class Heavy:
    """A person (or an order) with events behind it; `at_ms` is the time of the last one."""

    rules: AppRules = RULES
    person: str = PERSON
    state: PersonState = field(default_factory=PersonState)
    effects: Effects = field(default_factory=Effects)
    at_ms: int = START_MS
    sent: int = 0

    def event(self, name: str, at_ms: int, campaign: str = "", **properties: Any) -> StreamEvent:
        self.sent += 1
        return StreamEvent(
            app_id="demo",
            event_id=f"evt_{self.sent:06}_{at_ms}",
            event_name=name,
            timestamp_ms=at_ms,
            received_us=at_ms * 1000,
            anonymous_id="prepared",
            page_url="https://shop.example.com/p/1",
            campaign_source="google" if campaign else "",
            campaign_medium="cpc" if campaign else "",
            campaign_name=campaign,
            properties=msgspec.Raw(msgspec.json.encode(properties)),
        )

    def apply(self, event: StreamEvent) -> None:
        watermark_ms = max(self.at_ms, event.timestamp_ms) - 60 * SECOND_MS
        apply_event(
            PersonContext(
                self.state, event.app_id, self.person, self.rules, watermark_ms, self.effects, (0, self.sent, 0)
            ),
            event,
        )
        self.at_ms = max(self.at_ms, event.timestamp_ms)

    def does(self, name: str, after_ms: int = SECOND_MS, campaign: str = "", **properties: Any) -> None:
        self.apply(self.event(name, self.at_ms + after_ms, campaign, **properties))

    def clicks(self, count: int, campaign: str = "campaign") -> None:
        for _ in range(count):
            self.does("page_view", campaign=f"{campaign}-{self.sent}")

    def buys(self, count: int, order_id: str = "") -> None:
        for _ in range(count):
            self.does("purchase", order_id=order_id or f"order-{self.sent}", revenue=10, currency="CNY")

    def wake(self) -> None:
        """What a group does at its end: sessions and owed rows are written."""
        publish_sessions(
            PersonContext(self.state, "demo", self.person, self.rules, self.at_ms - 60 * SECOND_MS, self.effects)
        )

    def settled(self) -> "Heavy":
        """All that it owes is written, and nobody has asked for it yet."""
        self.wake()
        while any(conversion.owed for conversion in self.state.conversions):
            write_owed_rows(PersonContext(self.state, "demo", self.person, self.rules, 0, self.effects))
        self.effects = Effects()
        self.state = decode_state(encode_state(self.state))
        return self

    def written(self) -> tuple[int, int]:
        """(rows, bytes of them), messages to orders included."""
        rows = rows_of(self.effects)
        return sum(map(len, rows)), sum(len(encode_rows(each)) for each in rows)

    def copy(self) -> "Heavy":
        return Heavy(self.rules, self.person, decode_state(encode_state(self.state)), Effects(), self.at_ms, self.sent)


def newcomer() -> Heavy:
    """A person with one page view."""
    heavy = Heavy()
    heavy.does("page_view")
    return heavy.settled()


def of_two_sessions() -> Heavy:
    """100 touches in two open sessions, 100 conversions."""
    heavy = Heavy()
    heavy.clicks(50)
    heavy.does("page_view", RULES.gap_ms)
    heavy.clicks(50)
    heavy.buys(MAX_CONVERSIONS)
    return heavy.settled()


def of_open_sessions(sessions: int = 47, touches: int = 100) -> Heavy:
    """As many open sessions as fit into the allowed lateness, each with as many campaigns as a session keeps."""
    heavy = Heavy()
    for _ in range(sessions):
        heavy.does("page_view", RULES.gap_ms)
        heavy.clicks(touches)
    heavy.buys(MAX_CONVERSIONS)
    return heavy.settled()


def of_many_short_sessions() -> Heavy:
    """A year of ad clicks, imported within a day: nothing of it is final."""
    heavy = Heavy()
    heavy.at_ms += 400 * DAY_MS
    heavy.does("page_view")
    start_ms = heavy.at_ms - 390 * DAY_MS
    times_ms = [start_ms + number * DAY_MS // 2 for number in range(400)]
    made = [heavy.event("page_view", at_ms, f"campaign-{at_ms}" if at_ms % 3 else "") for at_ms in times_ms]
    bought: dict[str, Any] = {"revenue": 10, "currency": "CNY"}
    for number in range(MAX_CONVERSIONS):
        made.append(heavy.event("purchase", times_ms[-1] + number, order_id=f"order-{number}", **bought))
    for event in made:
        event.received_us = heavy.at_ms * 1000
        heavy.apply(event)
    return heavy.settled()


def of_months() -> Heavy:
    """Final touches up to their bound, of which conversions have need, and a full archive; then open sessions."""
    heavy = Heavy()
    heavy.buys(1)
    for _ in range(10):
        heavy.does("page_view", DAY_MS // 2)
        heavy.clicks(30)
        heavy.buys(9)
        heavy.wake()
    for _ in range(3):
        heavy.does("page_view", RULES.gap_ms)
        heavy.clicks(60)
    heavy.buys(9)
    return heavy.settled()


def of_direct_visits() -> Heavy:
    """Contacts that are folded first: a click, then direct visits and impressions of one campaign in turn."""
    heavy = Heavy()
    heavy.does("page_view", campaign="first")
    for _ in range(47):
        heavy.does("page_view", RULES.gap_ms)
        heavy.does("ad_impression", campaign="repeated")
        heavy.does("ad_view", campaign="repeated")
        heavy.does("ad_click", campaign="repeated")
    heavy.buys(MAX_CONVERSIONS)
    return heavy.settled()


def of_long_names() -> Heavy:
    """100 touches with names as long as are kept, and 100 conversions."""
    heavy = Heavy()
    heavy.clicks(100, "x" * (MAX_VALUE_CHARACTERS - 10))
    heavy.buys(MAX_CONVERSIONS)
    return heavy.settled()


def of_refunds() -> Heavy:
    """As many refunds as are kept, of orders that are there and of orders nobody knows."""
    heavy = of_two_sessions()
    for number in range(MAX_REFUNDS):
        order_id = heavy.state.conversions[number].order_id if number % 2 else f"unknown-{number}"
        heavy.does("refund", order_id=order_id, amount=1)
    return heavy.settled()


def of_one_order() -> Heavy:
    """All conversions are of one order, with 100 touches each."""
    heavy = Heavy()
    heavy.clicks(100)
    heavy.buys(MAX_CONVERSIONS, "the order")
    return heavy.settled()


def of_seen_ids() -> Heavy:
    """As many ids as are remembered."""
    heavy = of_two_sessions()
    for number in range(MAX_SEEN):
        remember(heavy.state, fingerprint(f"seen-{number}"), pack_times(heavy.at_ms, heavy.at_ms * 1000))
    return heavy.settled()


PERSONS: Final[dict[str, Callable[[], Heavy]]] = {
    "100 touches and conversions": of_two_sessions,
    "47 open sessions of 100 campaigns": of_open_sessions,
    "imported history": of_many_short_sessions,
    "months of sessions": of_months,
    "repeated contacts": of_direct_visits,
    "long names": of_long_names,
    "100 refunds": of_refunds,
    "one order of 100 conversions": of_one_order,
    "2,048 ids": of_seen_ids,
}


def order_of_many() -> tuple[Heavy, OrderRefund]:
    """An order to which 100 conversions with 100 touches have gone, and a refund of all of it."""
    buyer, order = of_one_order(), Heavy(person="o:the order")
    conversions = buyer.state.conversions
    paths = Paths(buyer.state, RULES).at(found.at_ms for found in conversions)
    closed = [ClosedConversion(found, path, PERSON) for found, path in zip(conversions, paths, strict=True)]
    data = encode_closed(Closed(closed, []))
    apply_order(
        PersonContext(
            order.state,
            OrderClosed("demo", "the order", PERSON, 1, data).app_id,
            OrderClosed("demo", "the order", PERSON, 1, data).person,
            RULES,
            0,
            order.effects,
        ),
        OrderClosed("demo", "the order", PERSON, 1, data),
    )
    return order.copy(), OrderRefund("demo", "the order", "refund", buyer.at_ms, "", "", 1, "")


def journey_of(heavy: Heavy) -> bytes:
    """The journey of an anonymous person who logs in."""
    copy = heavy.copy()
    link(copy.state, "user", copy.at_ms, "link", copy.at_ms // 1000)
    return hand_over(copy.state)


def events_for(heavy: Heavy) -> Iterator[tuple[str, Callable[[Heavy], None]]]:
    """Events and wakeups that are applied to a copy of `heavy`, each with its name."""
    now_ms, gap_ms = heavy.at_ms, heavy.rules.gap_ms
    first_ms = heavy.state.segments[0].start_ms if heavy.state.segments else now_ms
    order_id = heavy.state.conversions[0].order_id if heavy.state.conversions else "order"

    def event(name: str, at_ms: int, campaign: str = "", **properties: Any) -> Callable[[Heavy], None]:
        made = heavy.event(name, at_ms, campaign, **properties)
        return lambda copy: copy.apply(made)

    bought: dict[str, Any] = {"revenue": 10, "currency": "CNY"}
    yield "page view seconds late", event("page_view", now_ms - 500)
    yield "page view in a new session", event("page_view", now_ms + gap_ms)
    yield "first page view of all", event("page_view", first_ms - 1)
    yield "campaign contact in order", event("page_view", now_ms + 1, "in-order")
    yield "campaign contact late", event("page_view", now_ms - 99_500, "late")
    yield "campaign contact before all", event("page_view", first_ms + 1, "late")
    yield "conversion in order", event("purchase", now_ms + 1, order_id="new-1", **bought)
    yield "conversion late", event("purchase", now_ms - 99_500, order_id="new-2", **bought)
    yield "conversion before all", event("purchase", first_ms + 1, order_id="new-3", **bought)
    yield "conversion of 30 KB", event("purchase", now_ms + 1, order_id="new-4", text="x" * 30_000, **bought)
    yield "refund of an order", event("refund", now_ms + 1, order_id=order_id)
    yield "refund of no order", event("refund", now_ms + 1, order_id="nobody's")
    yield "wakeup", Heavy.wake
